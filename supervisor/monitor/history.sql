-- add: add the counts of a tree to this minute of its queues and to this hour of its classes, and
-- clear some of the rows that have become too old. Rows are written in the order of their names, so
-- two trees cannot deadlock; rows that another tree is just clearing are skipped.
WITH queue AS (
    INSERT INTO jobsd.history_minutes AS kept (
        minute, queue_name, finished, failed, retried, discarded, wait_s, run_s, waits, runs
    )
    SELECT date_trunc('minute', now()), given.*
    FROM jsonb_to_recordset(%(queues)s::jsonb) AS given (
        name text, finished bigint, failed bigint, retried bigint, discarded bigint,
        wait_s float8, run_s float8, waits bigint[], runs bigint[]
    )
    ORDER BY given.name
    ON CONFLICT (minute, queue_name) DO UPDATE
    SET
        finished = kept.finished + excluded.finished,
        failed = kept.failed + excluded.failed,
        retried = kept.retried + excluded.retried,
        discarded = kept.discarded + excluded.discarded,
        wait_s = kept.wait_s + excluded.wait_s,
        run_s = kept.run_s + excluded.run_s,
        waits = jobsd.add_counts(kept.waits, excluded.waits),
        runs = jobsd.add_counts(kept.runs, excluded.runs)
    RETURNING 1
), class AS (
    INSERT INTO jobsd.history_hours AS kept (
        hour, class_name, finished, failed, retried, discarded, wait_s, run_s, waits, runs
    )
    SELECT date_trunc('hour', now()), given.*
    FROM jsonb_to_recordset(%(classes)s::jsonb) AS given (
        name text, finished bigint, failed bigint, retried bigint, discarded bigint,
        wait_s float8, run_s float8, waits bigint[], runs bigint[]
    )
    WHERE (SELECT count(*) FROM queue) >= 0
    ORDER BY given.name
    ON CONFLICT (hour, class_name) DO UPDATE
    SET
        finished = kept.finished + excluded.finished,
        failed = kept.failed + excluded.failed,
        retried = kept.retried + excluded.retried,
        discarded = kept.discarded + excluded.discarded,
        wait_s = kept.wait_s + excluded.wait_s,
        run_s = kept.run_s + excluded.run_s,
        waits = jobsd.add_counts(kept.waits, excluded.waits),
        runs = jobsd.add_counts(kept.runs, excluded.runs)
    RETURNING 1
), ended AS (
    -- `arrivals` computes from this how many jobs have come in. A failed job is still there.
    INSERT INTO jobsd.arrivals AS kept (queue_name, ended)
    SELECT given.name, given.finished + given.discarded
    FROM jsonb_to_recordset(%(queues)s::jsonb) AS given (
        name text, finished bigint, discarded bigint
    )
    WHERE given.finished + given.discarded > 0
        AND (SELECT count(*) FROM class) >= 0
    ORDER BY given.name
    ON CONFLICT (queue_name) DO UPDATE SET
        ended = kept.ended + excluded.ended,
        changed_at = excluded.changed_at
), old_minutes AS (
    DELETE FROM jobsd.history_minutes
    WHERE ctid = ANY (ARRAY(
        SELECT old.ctid
        FROM jobsd.history_minutes AS old
        WHERE old.minute < now() - interval '24 hours'
        ORDER BY old.minute, old.queue_name
        LIMIT 10000
        FOR UPDATE SKIP LOCKED
    ))
), old_hours AS (
    DELETE FROM jobsd.history_hours
    WHERE ctid = ANY (ARRAY(
        SELECT old.ctid
        FROM jobsd.history_hours AS old
        WHERE old.hour < now() - interval '30 days'
        ORDER BY old.hour, old.class_name
        LIMIT 10000
        FOR UPDATE SKIP LOCKED
    ))
)
SELECT count(*) FROM queue;
