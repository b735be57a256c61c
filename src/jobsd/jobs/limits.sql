-- hand_over: give the first waiting jobs of some keys a position again, one job for each mention of
-- a key. It follows, in the same transaction, the statement that has freed their slots.
SELECT jobsd.hand_over(%(keys)s::text[]);

-- uncovered: check the next keys with blocked jobs, by skipping from one to the next. Returns the
-- last key, and the keys with a free slot but no ready job that could start. Locks nothing.
WITH RECURSIVE known AS (
    (
        SELECT concurrency_key, 1 AS turn
        FROM jobsd.blocked_executions
        WHERE concurrency_key > %(after)s
        ORDER BY concurrency_key, priority, job_id
        LIMIT 1
    )
    UNION ALL
    SELECT following.concurrency_key, known.turn + 1
    FROM known
    CROSS JOIN LATERAL (
        SELECT concurrency_key
        FROM jobsd.blocked_executions
        WHERE concurrency_key > known.concurrency_key
        ORDER BY concurrency_key, priority, job_id
        LIMIT 1
    ) AS following
    WHERE known.turn < %(limit)s
)
SELECT
    (SELECT concurrency_key FROM known ORDER BY turn DESC LIMIT 1),
    ARRAY(
        SELECT known.concurrency_key
        FROM known
        CROSS JOIN LATERAL (
            SELECT position, concurrency_limit, job_id
            FROM jobsd.blocked_executions
            WHERE concurrency_key = known.concurrency_key
                AND queue_name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
            ORDER BY priority, job_id
            LIMIT 1
        ) AS first
        WHERE first.position IS NULL
            AND (
                SELECT count(*) FROM jobsd.claims WHERE concurrency_key = known.concurrency_key
            ) < coalesce(
                first.concurrency_limit,
                (SELECT concurrency_limit FROM jobsd.jobs WHERE id = first.job_id),
                1
            )
    );

-- forget: delete the rows of keys that no enqueue of a job that may not wait has locked for a
-- day.
DELETE FROM jobsd.discard_keys
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM jobsd.discard_keys
    WHERE held_at < now() - interval '1 day'
    ORDER BY key
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
));

-- ask: let a dispatcher check all limits at once.
SELECT pg_notify('jobsd.due', 'limits');
