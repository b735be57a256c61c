-- find: read one job, with the columns of its state's table.
SELECT
    job.id, job.class_name, job.queue_name, job.priority,
    coalesce(
        job.outcome, place.state,
        CASE WHEN claim.process_id IS NOT NULL THEN 'claimed' ELSE 'lost' END
    ),
    job.arguments, job.attempts, job.max_attempts, job.created_at,
    coalesce(place.scheduled_at, job.scheduled_at),
    coalesce(to_timestamp((process.running ->> job.id::text)::float8), job.started_at),
    job.finished_at,
    CASE
        WHEN failed.job_id IS NOT NULL THEN jsonb_build_object(
            'type', failed.error -> 'type', 'message', failed.error -> 'message'
        )
    END,
    claim.created_at, claim.process_id, process.name, process.pid, process.hostname,
    place.position, job.concurrency_key,
    CASE WHEN job.concurrency_key IS NOT NULL THEN coalesce(job.concurrency_limit, 1) END,
    place.lane, job.progress, job.reason, expiration.expires_at,
    (job.id = ANY (claim.cancelled)) IS TRUE,
    extract(epoch FROM known.timeout)::float8,
    CASE WHEN known.timeout IS NOT NULL THEN extract(epoch FROM known.kill_after)::float8 END,
    job.set_aside_at, job.tags
FROM jobsd.jobs AS job
LEFT JOIN jobsd.failed_executions AS failed ON failed.job_id = job.id
LEFT JOIN jobsd.places AS place ON place.job_id = job.id AND place.state <> 'claimed'
LEFT JOIN LATERAL (
    SELECT process_id, created_at, cancelled
    FROM jobsd.claims
    WHERE job_ids @> ARRAY[job.id]
    ORDER BY id
    LIMIT 1
) AS claim ON job.outcome IS NULL
LEFT JOIN jobsd.processes AS process ON process.id = claim.process_id
LEFT JOIN jobsd.expirations AS expiration
    ON expiration.job_id = job.id AND job.outcome IS NULL
LEFT JOIN jobsd.definitions AS known
    ON known.class_name = job.class_name AND job.outcome IS NULL
WHERE job.id = %(id)s;

-- attempts: list the failed attempts of a job, the first attempt first.
SELECT attempt, process, started_at, ended_at, error
FROM jobsd.attempts
WHERE job_id = %(id)s AND error IS NOT NULL
ORDER BY ended_at, attempt
LIMIT 1000;

-- logs: list the captured logs of the last attempts of a job, the first attempt first. The log of
-- an attempt is stored in pieces.
SELECT attempt, process, started_at, string_agg(log, E'\n' ORDER BY ended_at)
FROM jobsd.attempts
WHERE job_id = %(id)s
    AND log IS NOT NULL
    AND (attempt, started_at) IN (
        SELECT attempt, started_at
        FROM jobsd.attempts
        WHERE job_id = %(id)s AND log IS NOT NULL
        GROUP BY attempt, started_at
        ORDER BY started_at DESC, attempt DESC
        LIMIT %(limit)s
    )
GROUP BY attempt, process, started_at
ORDER BY started_at, attempt;

-- kept: read the result of a job, and the process that performed it.
SELECT result::text, process
FROM jobsd.results
WHERE job_id = %(id)s AND expires_at > now();

-- ahead: count the ready jobs ahead of one in its queue, including those of its lane if it has one;
-- the count stops at `most`. Not through a view: before version 17 the server would read all parked
-- jobs of the queue for a job without a lane.
SELECT count(*)
FROM (
    SELECT
    FROM jobsd.ready_executions
    WHERE queue_name = %(queue_name)s
        AND (priority, position) < (%(priority)s, %(position)s)
    UNION ALL
    SELECT
    FROM jobsd.parked_executions
    WHERE queue_name = %(queue_name)s
        AND lane = %(lane)s
        AND (priority, position) < (%(priority)s, %(position)s)
    UNION ALL
    SELECT
    FROM jobsd.blocked_executions
    WHERE queue_name = %(queue_name)s
        AND position IS NOT NULL
        AND (priority, position) < (%(priority)s, %(position)s)
    LIMIT %(most)s
) AS counted;

-- elsewhere: count the ready jobs of other, unpaused queues that a worker takes before one: all
-- jobs of the queues in `names`, and with `everything` all more urgent jobs; the count stops at
-- `most`.
SELECT count(*)
FROM (
    SELECT
    FROM jobsd.ready_executions
    WHERE %(everything)s
        AND (priority, position) < (%(priority)s, %(position)s)
        AND queue_name <> %(queue_name)s
        AND queue_name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
    UNION ALL
    SELECT
    FROM jobsd.ready_executions
    WHERE queue_name = ANY (%(names)s::text[])
        AND queue_name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
    LIMIT %(most)s
) AS counted;

-- holders: list the jobs that hold the slots of a key: the first of each series, which runs.
SELECT coalesce(completed, job_ids[1]) AS job_id, 'claimed'
FROM (
    SELECT job_ids, completed
    FROM jobsd.claims
    WHERE concurrency_key = %(key)s
    ORDER BY slot
    LIMIT 1000
) AS series
ORDER BY job_id;

-- blocked_before: count the jobs that wait before one in the order of its key; the count stops at
-- `most`.
SELECT count(*)
FROM (
    SELECT
    FROM jobsd.blocked_executions
    WHERE concurrency_key = %(key)s
        AND (priority, job_id) < (%(priority)s, %(id)s)
    LIMIT %(most)s
) AS counted;

-- waits_for_slot: return whether a job waits in the order of its key.
SELECT EXISTS (SELECT FROM jobsd.blocked_executions WHERE job_id = %(id)s);

-- next_limit: return the limit of a key, taken from the first job that waits for it. Classes that
-- share a key may have different limits.
SELECT coalesce(job.concurrency_limit, 1)
FROM (
    SELECT job_id
    FROM jobsd.blocked_executions
    WHERE concurrency_key = %(key)s
    ORDER BY priority, job_id
    LIMIT 1
) AS first
JOIN jobsd.jobs AS job ON job.id = first.job_id;

-- claimed: count the claimed jobs of each process.
SELECT process_id, sum(cardinality(job_ids))::bigint
FROM jobsd.claims
GROUP BY process_id
ORDER BY process_id
LIMIT 10000;

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
