-- The lane of a class, as before (0016), but as a part of each statement that asks for it: the
-- server calls a function that is STRICT, or IMMUTABLE while a part of it is only STABLE, which
-- takes 2 µs for each job.
CREATE OR REPLACE FUNCTION jobsd.lane_of(class_name text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
    WHEN octet_length(class_name) <= 500 THEN class_name
    ELSE 'sha256 ' || encode(sha256(convert_to(class_name, 'UTF8')), 'hex')
END;
