-- What was done when, for the charts of the dashboard: for each minute and queue of the last day,
-- for each hour and class of the last 30 days. Trees add to it what they have counted, once a
-- minute. `waits` and `runs` count jobs by how long they waited and ran, in the buckets of the
-- metrics; the last bucket is for all longer ones.

CREATE TABLE jobsd.history_minutes (
    minute timestamptz NOT NULL,
    queue_name text NOT NULL,
    finished bigint NOT NULL,
    failed bigint NOT NULL,
    retried bigint NOT NULL,
    discarded bigint NOT NULL,
    wait_s float8 NOT NULL,
    run_s float8 NOT NULL,
    waits bigint[] NOT NULL,
    runs bigint[] NOT NULL,
    -- Serves what is shown of a time, and the clearing of what is older.
    PRIMARY KEY (minute, queue_name)
)
WITH (fillfactor = 70);

CREATE TABLE jobsd.history_hours (
    hour timestamptz NOT NULL,
    class_name text NOT NULL,
    finished bigint NOT NULL,
    failed bigint NOT NULL,
    retried bigint NOT NULL,
    discarded bigint NOT NULL,
    wait_s float8 NOT NULL,
    run_s float8 NOT NULL,
    waits bigint[] NOT NULL,
    runs bigint[] NOT NULL,
    -- Serves what is shown of a time, and the clearing of what is older.
    PRIMARY KEY (hour, class_name)
)
WITH (fillfactor = 50);

-- Add the counts of two histograms, bucket by bucket.
CREATE FUNCTION jobsd.add_counts(ours bigint[], theirs bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE
AS $$
    SELECT array_agg(coalesce(one, 0) + coalesce(other, 0) ORDER BY place)
    FROM unnest(ours, theirs) WITH ORDINALITY AS bucket (one, other, place)
$$;
