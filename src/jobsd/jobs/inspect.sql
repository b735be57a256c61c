-- find: read one job, and what the table of its state says of it.
SELECT
    job.id, job.class_name, job.queue_name, job.priority,
    CASE
        WHEN job.outcome IS NOT NULL THEN job.outcome
        WHEN failed.job_id IS NOT NULL THEN 'failed'
        WHEN ready.job_id IS NOT NULL THEN 'ready'
        WHEN scheduled.job_id IS NOT NULL THEN 'scheduled'
        WHEN blocked.job_id IS NOT NULL THEN 'blocked'
        WHEN claim.process_id IS NOT NULL THEN 'claimed'
        ELSE 'lost'
    END,
    job.arguments, job.attempts, job.max_attempts, job.created_at,
    coalesce(scheduled.scheduled_at, job.scheduled_at), job.started_at, job.finished_at,
    ready.position, job.concurrency_key, claim.process_id
FROM jobsd.jobs AS job
LEFT JOIN jobsd.failed_executions AS failed ON failed.job_id = job.id
LEFT JOIN jobsd.ready_executions AS ready ON ready.job_id = job.id
LEFT JOIN jobsd.scheduled_executions AS scheduled ON scheduled.job_id = job.id
LEFT JOIN jobsd.blocked_executions AS blocked ON blocked.job_id = job.id
LEFT JOIN LATERAL (
    SELECT process_id
    FROM jobsd.claims
    WHERE job_ids @> ARRAY[job.id]
    ORDER BY id
    LIMIT 1
) AS claim ON job.outcome IS NULL
WHERE job.id = %(id)s;

-- attempts: list what went wrong with a job, the first attempt first.
SELECT attempt, process, started_at, ended_at, error
FROM jobsd.attempts
WHERE job_id = %(id)s
ORDER BY ended_at, attempt
LIMIT 1000;

-- ahead: count the ready jobs of its queue that come before one; of very many, a million.
SELECT count(*)
FROM (
    SELECT
    FROM jobsd.ready_executions
    WHERE queue_name = %(queue_name)s
        AND (priority, position) < (%(priority)s, %(position)s)
    LIMIT 1000000
) AS counted;

-- holders: list the jobs that hold the slots of a key.
SELECT job_id
FROM jobsd.concurrency_slots
WHERE key = %(key)s
ORDER BY job_id
LIMIT 100;

-- claimed: count the claimed jobs of each process.
SELECT process_id, sum(cardinality(job_ids))::bigint
FROM jobsd.claims
GROUP BY process_id
ORDER BY process_id
LIMIT 10000;

-- latest: list jobs of any state, the newest first.
WITH chosen AS MATERIALIZED (
    SELECT *
    FROM jobsd.jobs
    WHERE (%(outcome)s::text IS NULL OR outcome = %(outcome)s)
        AND (%(queue_name)s::text IS NULL OR queue_name = %(queue_name)s)
        AND (%(class_name)s::text IS NULL OR class_name = %(class_name)s)
        AND (
            %(since_s)s::float8 IS NULL
            OR created_at >= now() - make_interval(secs => %(since_s)s::float8)
        )
    ORDER BY id DESC
    LIMIT %(limit)s
)
SELECT
    id, class_name, queue_name, priority,
    CASE
        WHEN outcome IS NOT NULL THEN outcome
        WHEN EXISTS (SELECT FROM jobsd.failed_executions WHERE job_id = id) THEN 'failed'
        WHEN EXISTS (SELECT FROM jobsd.ready_executions WHERE job_id = id) THEN 'ready'
        WHEN EXISTS (SELECT FROM jobsd.scheduled_executions WHERE job_id = id) THEN 'scheduled'
        WHEN EXISTS (SELECT FROM jobsd.blocked_executions WHERE job_id = id) THEN 'blocked'
        WHEN id IN (SELECT job_id FROM jobsd.claimed_executions) THEN 'claimed'
        ELSE 'lost'
    END,
    arguments, attempts, max_attempts, created_at, scheduled_at, started_at, finished_at
FROM chosen
ORDER BY id DESC;

-- in_state: list the jobs of one state, the newest first: the ready ones as it stands here,
-- others once their table is put in the place of ready_executions.
SELECT
    job.id, job.class_name, job.queue_name, job.priority, %(state)s::text,
    job.arguments, job.attempts, job.max_attempts, job.created_at, job.scheduled_at,
    job.started_at, job.finished_at
FROM jobsd.ready_executions AS place
JOIN jobsd.jobs AS job ON job.id = place.job_id
WHERE (%(queue_name)s::text IS NULL OR job.queue_name = %(queue_name)s)
    AND (%(class_name)s::text IS NULL OR job.class_name = %(class_name)s)
    AND (
        %(since_s)s::float8 IS NULL
        OR job.created_at >= now() - make_interval(secs => %(since_s)s::float8)
    )
ORDER BY place.job_id DESC
LIMIT %(limit)s;

-- failures: list the latest failures, with their errors.
SELECT job.id, job.class_name, job.queue_name, job.attempts, failed.failed_at, failed.error
FROM (
    SELECT job_id, failed_at, error
    FROM jobsd.failed_executions
    ORDER BY job_id DESC
    LIMIT %(limit)s
) AS failed
JOIN jobsd.jobs AS job ON job.id = failed.job_id
ORDER BY job.id DESC;
