-- promote: let the next blocked jobs of some keys become ready, where slots are free: said
-- behind the statement that has freed them, in the same transaction. A key whose lock an
-- open transaction holds is not got, and asked for again later.
SELECT key, got, promoted, discarded
FROM jobsd.promote(%(keys)s::text[], %(keep)s::boolean);

-- admit: give slots to jobs that were just stored as blocked ones, as far as they are free, and
-- the keys can be had.
SELECT jobsd.admit(%(keys)s::text[]);

-- roomy: look at the next keys for which jobs wait, by skipping from one to the next, and return
-- the last one and those that have something to do: a free slot for the first job, or jobs that
-- may not wait. Locks nothing; who is told looks again under the key's lock.
WITH RECURSIVE known AS (
    (
        SELECT concurrency_key, job_id, 1 AS turn
        FROM jobsd.blocked_executions
        WHERE concurrency_key > %(after)s
        ORDER BY concurrency_key, priority, job_id
        LIMIT 1
    )
    UNION ALL
    SELECT following.concurrency_key, following.job_id, known.turn + 1
    FROM known
    CROSS JOIN LATERAL (
        SELECT concurrency_key, job_id
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
        SELECT concurrency_key
        FROM known
        WHERE (
            SELECT count(*) FROM jobsd.concurrency_slots WHERE key = known.concurrency_key
        ) < coalesce(
            (SELECT coalesce(concurrency_limit, 1) FROM jobsd.jobs WHERE id = known.job_id),
            2 ^ 31 -- deleted by somebody's hand: to be cleared away
        ) OR EXISTS (
            SELECT
            FROM jobsd.blocked_executions AS blocked
            WHERE blocked.concurrency_key = known.concurrency_key AND blocked.yields
        )
    );

-- free_stale: look at the next slots by the ids of their jobs, and free those that have stood
-- for longer than they may while their job is neither ready nor claimed by anybody. Says which
-- was the last that was looked at, and which were freed.
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

-- ask: let a dispatcher look after all limits at once.
SELECT pg_notify('jobsd.wake', 'limits');
