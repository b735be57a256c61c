-- some: begin a check of some jobs, by their ids.
WITH seen AS MATERIALIZED (
    SELECT id, outcome
    FROM jobsd.jobs
    WHERE id = ANY (%(ids)s::bigint[])
);

-- next: begin a check of the next jobs, by their ids.
WITH seen AS MATERIALIZED (
    SELECT id, outcome
    FROM jobsd.jobs
    WHERE id > %(after)s
    ORDER BY id
    LIMIT %(limit)s
);

-- lost: end a check: return which of the jobs are in no table, how many were seen, and the last
-- of them. Invariant: this is one statement, so it has one snapshot. Every move of a job is one
-- statement or one transaction, so no snapshot shows a job between two tables. The claims are few
-- and long: they are read only if a job was found in none of the other tables.
stray AS MATERIALIZED (
    SELECT seen.id
    FROM seen
    WHERE seen.outcome IS NULL
        AND NOT EXISTS (SELECT FROM jobsd.all_ready_executions AS r WHERE r.job_id = seen.id)
        AND NOT EXISTS (SELECT FROM jobsd.scheduled_executions AS s WHERE s.job_id = seen.id)
        AND NOT EXISTS (SELECT FROM jobsd.blocked_executions AS b WHERE b.job_id = seen.id)
        AND NOT EXISTS (SELECT FROM jobsd.failed_executions AS f WHERE f.job_id = seen.id)
)
SELECT
    ARRAY(
        SELECT id
        FROM stray
        WHERE id NOT IN (SELECT job_id FROM jobsd.claimed_executions)
        ORDER BY id
    ),
    (SELECT count(*) FROM seen),
    (SELECT max(id) FROM seen);

-- lock: lock some jobs that have not ended, before they are checked again and changed. Jobs that
-- another session has locked are skipped: it is changing them.
SELECT id
FROM jobsd.jobs
WHERE id = ANY (%(ids)s::bigint[])
    AND outcome IS NULL
ORDER BY id
FOR UPDATE SKIP LOCKED;

-- note: record that jobs are lost; return those that were not recorded before.
INSERT INTO jobsd.lost_jobs (job_id)
SELECT lost.id
FROM unnest(%(ids)s::bigint[]) AS lost (id)
ON CONFLICT (job_id) DO NOTHING -- found before
RETURNING job_id;

-- forget: remove jobs from the record of lost ones.
DELETE FROM jobsd.lost_jobs
WHERE job_id = ANY (%(ids)s::bigint[]);

-- ready: make some lost jobs ready again, with all of their attempts left. Their `scheduled_at`
-- is now, so how long they have waited is measured from now.
WITH job AS (
    UPDATE jobsd.jobs
    SET attempts = 0, scheduled_at = now()
    WHERE id = ANY (%(ids)s::bigint[])
    RETURNING id, queue_name, priority, concurrency_key, concurrency_limit
), ordered AS (
    SELECT id, queue_name, priority
    FROM job
    WHERE concurrency_key IS NULL
    ORDER BY id
), ready AS (
    INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
    SELECT id, nextval('jobsd.jobs_id_seq'), priority, queue_name
    FROM ordered
), blocked AS (
    INSERT INTO jobsd.blocked_executions (
        job_id, queue_name, priority, concurrency_key, concurrency_limit
    )
    SELECT id, queue_name, priority, concurrency_key, concurrency_limit
    FROM job
    WHERE concurrency_key IS NOT NULL
    ORDER BY id
), woken AS (
    SELECT pg_notify('jobsd.wake', payload)
    FROM (
        SELECT 'ready ' || queue_name AS payload FROM job WHERE concurrency_key IS NULL
        UNION
        SELECT 'limited ' || queue_name FROM job WHERE concurrency_key IS NOT NULL
    ) AS payloads
    WHERE EXISTS (SELECT FROM jobsd.sleepers WHERE kind = 'worker')
)
SELECT id, (SELECT count(*) FROM woken)
FROM job
ORDER BY id;

-- drop: discard some lost jobs.
WITH kept AS (
    UPDATE jobsd.jobs
    SET finished_at = now(), outcome = 'discarded'
    WHERE id = ANY (%(ids)s::bigint[]) AND %(keep)s
), erased AS (
    DELETE FROM jobsd.jobs
    WHERE id = ANY (%(ids)s::bigint[]) AND NOT %(keep)s
    RETURNING id, class_name, created_at
), attempt AS (
    DELETE FROM jobsd.attempts
    WHERE job_id = ANY (%(ids)s::bigint[]) AND NOT %(keep)s
)
SELECT
    lost.id,
    (
        SELECT CASE WHEN count(*) > 0 THEN jobsd.keep_ends(
            array_agg(id), array_agg(class_name), array_agg(created_at)
        ) END
        FROM erased
    )
FROM unnest(%(ids)s::bigint[]) AS lost (id)
ORDER BY lost.id;

-- known: return how many jobs are known to be lost (100,000 at most), and how long ago the last
-- walk over all jobs ended.
SELECT
    (
        SELECT count(*)
        FROM (SELECT FROM jobsd.lost_executions LIMIT 100000) AS counted
    ),
    (
        SELECT greatest(0, extract(epoch FROM now() - ended_at))::float8
        FROM jobsd.lost_walk
    );
