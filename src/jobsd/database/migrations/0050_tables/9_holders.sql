-- Return the names of the sessions that hold the row of a waiting or failed job locked; NULL if
-- there are none. A row lock is stored only in the row, as the number of a transaction or of a set
-- of transactions. The row does not show which of the two it is, so both are looked for among the
-- sessions that use these tables.
CREATE FUNCTION jobsd.holders_of(wanted bigint) RETURNS text
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    locked_by xid;
    lockers xid[];
BEGIN
    SELECT place.locked_by
    INTO locked_by
    FROM jobsd.places AS place
    WHERE place.job_id = wanted AND place.state <> 'claimed' AND place.locked_by <> '0'
    LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    lockers := ARRAY[locked_by];
    BEGIN
        lockers := lockers || ARRAY(
            SELECT member.xid FROM pg_get_multixact_members(locked_by) AS member
        );
    EXCEPTION WHEN internal_error OR invalid_parameter_value THEN
        -- The set does not exist.
    END;
    RETURN (
        -- Without format(): its percent signs would be taken for placeholders.
        SELECT string_agg(DISTINCT concat(
            'session ', holder.pid, ' (', coalesce(
                nullif(holder.application_name, ''), 'without an application_name'
            ), ', ', holder.usename, ')'
        ), ', ')
        FROM pg_locks AS own
        JOIN pg_stat_activity AS holder ON holder.pid = own.pid
        WHERE own.transactionid = ANY (lockers) AND own.granted
            AND holder.datname = current_database()
    );
END
$$;
