-- publish: store which classes a worker knows.
INSERT INTO jobsd.worker_classes AS mine (process_id, queues, lanes)
VALUES (%(process_id)s, %(queues)s::text[], %(lanes)s::text[])
ON CONFLICT (process_id) DO UPDATE SET queues = excluded.queues, lanes = excluded.lanes;

-- note: list the lanes of a worker's queues that have jobs, and the lanes that it has just met,
-- with the seconds for which no living worker of the queue has known the class; NULL if one knows
-- it. If no worker has checked a lane for a minute, the time starts again, because no worker was
-- there to take the jobs. A worker that has not published yet may know the class.
WITH given AS (
    SELECT queue_name, lane
    FROM unnest(%(queues)s::text[], %(lanes)s::text[]) AS met (queue_name, lane)
    UNION
    SELECT queue_name, lane
    FROM jobsd.lanes
    WHERE jobsd.serves(%(patterns)s::text[], queue_name)
        AND EXISTS (
            SELECT
            FROM jobsd.parked_executions AS parked
            WHERE parked.queue_name = lanes.queue_name AND parked.lane = lanes.lane
        )
), known AS (
    SELECT DISTINCT worker.queues, member.lane
    FROM jobsd.worker_classes AS worker
    CROSS JOIN LATERAL unnest(worker.lanes) AS member (lane)
    WHERE (member.lane IN (SELECT lane FROM given)) IS TRUE
), silent AS (
    SELECT string_to_array(process.metadata ->> 'queues', ',') AS queues
    FROM jobsd.processes AS process
    WHERE process.kind = 'worker'
        AND process.metadata ? 'queues'
        AND NOT EXISTS (
            SELECT FROM jobsd.worker_classes AS worker WHERE worker.process_id = process.id
        )
), forgotten AS (
    DELETE FROM jobsd.lanes
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM jobsd.lanes
        WHERE checked_at < now() - interval '1 day'
            AND NOT EXISTS (
                SELECT
                FROM jobsd.parked_executions AS parked
                WHERE parked.queue_name = lanes.queue_name AND parked.lane = lanes.lane
            )
        ORDER BY queue_name, lane
        LIMIT 1000
        FOR UPDATE SKIP LOCKED
    ))
)
INSERT INTO jobsd.lanes AS seen (queue_name, lane, unknown_since)
SELECT
    queue_name, lane,
    CASE
        WHEN NOT EXISTS (
            SELECT FROM known
            WHERE known.lane = given.lane AND jobsd.serves(known.queues, given.queue_name)
        ) AND NOT EXISTS (
            SELECT FROM silent WHERE jobsd.serves(silent.queues, given.queue_name)
        )
            THEN now()
    END
FROM given
ORDER BY queue_name, lane
ON CONFLICT (queue_name, lane) DO UPDATE
SET checked_at = now(),
    unknown_since = CASE
        WHEN excluded.unknown_since IS NULL THEN NULL
        WHEN seen.checked_at < now() - interval '1 minute' THEN now()
        ELSE coalesce(seen.unknown_since, now())
    END
RETURNING queue_name, lane, extract(epoch FROM now() - unknown_since)::float8;

-- set_aside: end a pick by setting aside the jobs of classes that this worker doesn't know. The
-- others stay. Returns the number of jobs by queue and class, and notifies the workers.
strange AS (
    SELECT
        picked.place, picked.job_id, picked.position, picked.priority,
        job.queue_name, job.class_name, jobsd.lane_of(job.class_name) AS lane
    FROM picked
    JOIN jobsd.jobs AS job ON job.id = picked.job_id
    WHERE (jobsd.lane_of(job.class_name) IN (SELECT unnest(%(known)s::text[]))) IS NOT TRUE
), gone AS (
    DELETE FROM jobsd.ready_executions
    WHERE ctid = ANY (ARRAY(SELECT place FROM strange))
    RETURNING job_id
), moved AS (
    INSERT INTO jobsd.parked_executions (job_id, position, priority, queue_name, lane)
    SELECT job_id, position, priority, queue_name, lane
    FROM strange
    WHERE (job_id IN (SELECT job_id FROM gone)) IS TRUE
    ON CONFLICT (job_id) DO NOTHING -- a person may have put it there
), met AS (
    SELECT queue_name, class_name, lane, count(*) AS jobs
    FROM strange
    GROUP BY queue_name, class_name, lane
), noted AS (
    -- The update changes nothing, but waits for a session that deletes the row.
    INSERT INTO jobsd.lanes AS seen (queue_name, lane)
    SELECT queue_name, lane FROM met ORDER BY queue_name, lane
    ON CONFLICT (queue_name, lane) DO UPDATE SET unknown_since = seen.unknown_since
)
SELECT
    queue_name, class_name, jobs,
    pg_notify('jobsd.wake', 'lane ' || queue_name || E'\n' || lane)
FROM met;

-- waiting: list the queues with jobs in lanes.
SELECT DISTINCT queue_name
FROM jobsd.lanes
WHERE EXISTS (
    SELECT
    FROM jobsd.parked_executions AS parked
    WHERE parked.queue_name = lanes.queue_name AND parked.lane = lanes.lane
)
ORDER BY queue_name;

-- unknown: list the lanes with jobs whose class no worker of their queue knows, with the number of
-- these jobs and the time since when; a count stops at 100,000.
SELECT
    lanes.queue_name, lanes.lane, waiting.jobs, lanes.unknown_since,
    extract(epoch FROM now() - lanes.unknown_since)::float8
FROM jobsd.lanes
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs
    FROM (
        SELECT
        FROM jobsd.parked_executions AS parked
        WHERE parked.queue_name = lanes.queue_name AND parked.lane = lanes.lane
        LIMIT 100000
    ) AS counted
) AS waiting
WHERE lanes.unknown_since IS NOT NULL AND waiting.jobs > 0
ORDER BY lanes.unknown_since, lanes.queue_name, lanes.lane
LIMIT 1000;

-- unknown_to: if all of some workers have published their classes, and none of them knows a class,
-- return one row: since when no worker that takes from the queue has known it.
SELECT (
    SELECT unknown_since
    FROM jobsd.lanes
    WHERE queue_name = %(queue_name)s AND lane = jobsd.lane_of(%(class_name)s)
)
FROM jobsd.worker_classes
WHERE process_id = ANY (%(ids)s::bigint[])
HAVING count(*) = cardinality(%(ids)s::bigint[])
    AND NOT bool_or(jobsd.lane_of(%(class_name)s) = ANY (lanes));

-- last: return which of some jobs are not retried after the death of their process.
SELECT id
FROM jobsd.jobs
WHERE id = ANY (%(ids)s::bigint[]) AND NOT retries_crash
ORDER BY id;
