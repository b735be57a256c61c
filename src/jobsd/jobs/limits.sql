-- hand_over: let the first waiting jobs of some keys be met again, one for each time that a key is
-- named: said behind the statement that has given their slots back, in the same transaction.
SELECT jobsd.hand_over(%(keys)s::text[]);

-- uncovered: look at the next keys of which jobs are blocked, by skipping from one to the next, and
-- return the last one, and those of which a slot is free though none of their jobs is ready that
-- might be started. Locks nothing.
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
            ) + (
                SELECT count(*)
                FROM jobsd.concurrency_slots
                WHERE key = known.concurrency_key
            ) < coalesce(
                first.concurrency_limit,
                (SELECT concurrency_limit FROM jobsd.jobs WHERE id = first.job_id),
                1
            )
    );

-- free_stale: look at the next slots of before by the ids of their jobs, and free those that have
-- stood for longer than they may while their job is neither ready nor claimed by anybody. Says
-- which was the last that was looked at, and which were freed. Slots that are claims go with these.
WITH seen AS MATERIALIZED (
    SELECT job_id
    FROM jobsd.concurrency_slots
    WHERE job_id > %(after)s
    ORDER BY job_id
    LIMIT %(limit)s
), gone AS (
    DELETE FROM jobsd.concurrency_slots AS slot
    WHERE slot.job_id > %(after)s
        AND slot.job_id <= (SELECT max(job_id) FROM seen)
        -- Not as a time from which a duration is taken: it may lie before all time.
        AND now() - slot.created_at
            > coalesce(slot.duration, make_interval(secs => %(duration_s)s))
        AND NOT EXISTS (
            SELECT FROM jobsd.all_ready_executions AS ready WHERE ready.job_id = slot.job_id
        )
        AND slot.job_id NOT IN (SELECT job_id FROM jobsd.claimed_executions)
    RETURNING slot.job_id, slot.key
)
SELECT
    (SELECT max(job_id) FROM seen),
    ARRAY(SELECT job_id FROM gone),
    ARRAY(SELECT key FROM gone);

-- forget: forget the keys that nobody has held for a day to enqueue what may not wait.
DELETE FROM jobsd.discard_keys
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM jobsd.discard_keys
    WHERE held_at < now() - interval '1 day'
    ORDER BY key
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
));

-- ask: let a dispatcher look after all limits at once.
SELECT pg_notify('jobsd.wake', 'limits');
