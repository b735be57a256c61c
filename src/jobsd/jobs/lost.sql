-- some: begin a look at some jobs, by their ids.
WITH seen AS MATERIALIZED (
    SELECT id, outcome
    FROM jobsd.jobs
    WHERE id = ANY (%(ids)s::bigint[])
);

-- next: begin a look at the next jobs, by their ids.
WITH seen AS MATERIALIZED (
    SELECT id, outcome
    FROM jobsd.jobs
    WHERE id > %(after)s
    ORDER BY id
    LIMIT %(limit)s
);

-- lost: end a look with which of the jobs are in no table, how many were seen, and the last of
-- them. Invariant: one statement, so one snapshot: every move of a job is one statement or one
-- transaction, and nobody sees a job between two tables. The claims, few and long, are read
-- only where one of these jobs may be claimed.
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

-- lock: lock some jobs that have not ended, before somebody looks at them once more and does
-- something to them. Skips those that somebody else has locked: he does something to them.
SELECT id
FROM jobsd.jobs
WHERE id = ANY (%(ids)s::bigint[])
    AND outcome IS NULL
ORDER BY id
FOR UPDATE SKIP LOCKED;

-- note: note down that jobs are lost; says which of them were not known to be.
INSERT INTO jobsd.lost_jobs (job_id)
SELECT lost.id
FROM unnest(%(ids)s::bigint[]) AS lost (id)
ON CONFLICT (job_id) DO NOTHING -- found before
RETURNING job_id;

-- forget: take note that some jobs are not lost any more.
DELETE FROM jobsd.lost_jobs
WHERE job_id = ANY (%(ids)s::bigint[]);

-- ready: let some lost jobs run anew, with all their attempts before them, as old as now for
-- those who measure how long a job has waited.
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
    SELECT id, nextval(pg_get_serial_sequence('jobsd.jobs', 'id')), priority, queue_name
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

-- drop: end some lost jobs.
WITH kept AS (
    UPDATE jobsd.jobs
    SET finished_at = now(), outcome = 'discarded'
    WHERE id = ANY (%(ids)s::bigint[]) AND %(keep)s
), erased AS (
    DELETE FROM jobsd.jobs
    WHERE id = ANY (%(ids)s::bigint[]) AND NOT %(keep)s
    RETURNING id, class_name
), attempt AS (
    DELETE FROM jobsd.attempts
    WHERE job_id = ANY (%(ids)s::bigint[]) AND NOT %(keep)s
)
SELECT
    lost.id,
    (
        SELECT CASE WHEN count(*) > 0 THEN jobsd.keep_ends(array_agg(id), array_agg(class_name)) END
        FROM erased
    )
FROM unnest(%(ids)s::bigint[]) AS lost (id)
ORDER BY lost.id;

-- known: say how many jobs are known to be lost (of very many, a hundred thousand), and how long
-- ago a walk has ended.
SELECT
    (
        SELECT count(*)
        FROM (SELECT FROM jobsd.lost_executions LIMIT 100000) AS counted
    ),
    (
        SELECT greatest(0, extract(epoch FROM now() - ended_at))::float8
        FROM jobsd.lost_walk
    );
