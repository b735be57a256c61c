-- publish: store which classes a worker knows, and mark their lanes as known from now on.
WITH published AS (
    INSERT INTO jobsd.worker_classes AS mine (process_id, queues, lanes)
    VALUES (%(process_id)s, %(queues)s::text[], %(lanes)s::text[])
    ON CONFLICT (process_id) DO UPDATE SET queues = excluded.queues, lanes = excluded.lanes
), met AS (
    -- In the same order in which `note` locks them.
    SELECT queue_name, lane
    FROM jobsd.lanes
    WHERE unknown_since IS NOT NULL
        AND (lane IN (SELECT unnest(%(lanes)s::text[]))) IS TRUE
        AND jobsd.serves(%(queues)s::text[], queue_name)
    ORDER BY queue_name, lane
    FOR UPDATE
)
UPDATE jobsd.lanes AS known
SET unknown_since = NULL
FROM met
WHERE known.queue_name = met.queue_name AND known.lane = met.lane;

-- survey: list the lanes that have jobs, by skipping from one to the next.
WITH RECURSIVE pair AS (
    (
        SELECT queue_name, lane, 1 AS turn
        FROM jobsd.parked_executions
        ORDER BY queue_name, lane
        LIMIT 1
    )
    UNION ALL
    SELECT following.queue_name, following.lane, pair.turn + 1
    FROM pair
    CROSS JOIN LATERAL (
        SELECT queue_name, lane
        FROM jobsd.parked_executions
        WHERE (queue_name, lane) > (pair.queue_name, pair.lane)
        ORDER BY queue_name, lane
        LIMIT 1
    ) AS following
    WHERE pair.turn < %(limit)s
)
SELECT queue_name, lane
FROM pair;

-- note: note for which of some lanes no living worker that takes from the queue knows the
-- class, and since when. Returns that time in seconds, and NULL for known classes. If no worker
-- has checked a lane for a minute, the time starts again, because no worker was there that
-- could have taken its jobs. A worker that has not published yet may know the class.
WITH given AS (
    SELECT DISTINCT queue_name, lane
    FROM unnest(%(queues)s::text[], %(lanes)s::text[]) AS given (queue_name, lane)
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

-- unknown: list the lanes with jobs whose class no worker that takes from their queue knows,
-- with the number of these jobs and since when; a count stops at 100,000.
SELECT
    lanes.queue_name, lanes.lane, waiting.jobs, lanes.unknown_since,
    extract(epoch FROM now() - lanes.unknown_since)::float8
FROM (
    SELECT queue_name, lane, unknown_since
    FROM jobsd.lanes
    WHERE unknown_since IS NOT NULL
    ORDER BY queue_name, lane
    LIMIT 1000
) AS lanes
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs
    FROM (
        SELECT
        FROM jobsd.parked_executions AS parked
        WHERE parked.queue_name = lanes.queue_name AND parked.lane = lanes.lane
        LIMIT 100000
    ) AS counted
) AS waiting
WHERE waiting.jobs > 0
ORDER BY lanes.unknown_since, lanes.queue_name, lanes.lane;

-- knowers: return which of some workers have published their classes, which of these know a
-- class, and since when no worker that takes from the queue knows it.
SELECT
    ARRAY(
        SELECT process_id
        FROM jobsd.worker_classes
        WHERE process_id = ANY (%(ids)s::bigint[])
        ORDER BY process_id
    ),
    ARRAY(
        SELECT process_id
        FROM jobsd.worker_classes
        WHERE process_id = ANY (%(ids)s::bigint[]) AND lane_of.lane = ANY (lanes)
        ORDER BY process_id
    ),
    (
        SELECT unknown_since
        FROM jobsd.lanes
        WHERE queue_name = %(queue_name)s AND lane = lane_of.lane
    )
FROM (SELECT jobsd.lane_of(%(class_name)s) AS lane) AS lane_of;

-- repeatable: return which of some jobs may be retried after the death of their process.
SELECT id
FROM jobsd.jobs
WHERE id = ANY (%(ids)s::bigint[]) AND retries_crash
ORDER BY id;

-- walk_any: look at the next jobs of one priority, of all queues. Begins a statement: `scout` or
-- `move` ends it.
WITH walked AS NOT MATERIALIZED (
    SELECT ctid AS place, job_id, queue_name, priority, position
    FROM jobsd.ready_executions
    WHERE priority = %(priority)s
        AND position > %(after)s
        AND position <= %(until)s
    ORDER BY priority, position
    LIMIT %(limit)s
);

-- walk_named: the same of one queue.
WITH walked AS NOT MATERIALIZED (
    SELECT ctid AS place, job_id, queue_name, priority, position
    FROM jobsd.ready_executions
    WHERE queue_name = %(queue_name)s
        AND priority = %(priority)s
        AND position > %(after)s
        AND position <= %(until)s
    ORDER BY queue_name, priority, position
    LIMIT %(limit)s
);

-- scout: end a walk at the first job that this worker can run. Returns its position, or how far
-- the walk has come, and whether it goes on. Most jobs keep the position that their id has
-- given them. Where these jobs have most of the ids between the first and the last, their rows
-- in `jobs` are read in one go, in the order of the ids; to look up each of them takes five
-- times as long. A job that is found in this way is looked up among the ready ones, so that
-- nothing else of it has to be read.
span AS MATERIALIZED (
    SELECT
        *,
        last_id - first_id < 4 * size AS is_dense
    FROM (
        SELECT
            count(*) AS size, max(position) AS last,
            count(*) FILTER (WHERE job_id <> position) AS moved,
            min(job_id) FILTER (WHERE job_id = position) AS first_id,
            max(job_id) FILTER (WHERE job_id = position) AS last_id
        FROM walked
    ) AS span
), known AS MATERIALIZED (
    SELECT unnest(lanes) AS lane
    FROM jobsd.worker_classes
    WHERE process_id = %(process_id)s
), met AS MATERIALIZED (
    SELECT least(
        (
            SELECT job.id
            FROM jobsd.jobs AS job
            WHERE job.id >= (SELECT first_id FROM span WHERE is_dense)
                AND job.id <= (SELECT last_id FROM span WHERE is_dense)
                AND (jobsd.lane_of(job.class_name) IN (SELECT lane FROM known)) IS TRUE
                AND EXISTS (
                    SELECT
                    FROM jobsd.ready_executions AS ready
                    WHERE ready.priority = %(priority)s
                        AND ready.position = job.id
                        AND ready.job_id = job.id
                        AND (ready.queue_name = %(queue_name)s OR %(queue_name)s IS NULL)
                        AND ready.queue_name <> ALL (
                            ARRAY(SELECT queue_name FROM jobsd.pauses)
                        )
                )
            ORDER BY job.id
            LIMIT 1
        ),
        (
            SELECT walked.position
            FROM walked
            JOIN jobsd.jobs AS job ON job.id = walked.job_id
            WHERE (SELECT moved > 0 OR NOT is_dense FROM span)
                AND (
                    walked.job_id <> walked.position
                    OR (SELECT is_dense FROM span) IS NOT TRUE
                )
                AND (jobsd.lane_of(job.class_name) IN (SELECT lane FROM known)) IS TRUE
                AND walked.queue_name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
            LIMIT 1 -- of those in the order of the walk
        )
    ) AS position
)
SELECT
    met.position,
    CASE WHEN met.position IS NULL THEN span.last END,
    met.position IS NULL AND span.size >= %(limit)s
FROM met
CROSS JOIN span;

-- move: end a walk by moving the jobs that this worker can't run into their lanes. It leaves
-- out jobs that another session has locked, because that one is claiming them. Returns how far
-- the walk has come, whether it goes on, and how many jobs were moved; it notifies workers that
-- may know their classes.
batch AS MATERIALIZED (
    SELECT * FROM walked
), strange AS (
    SELECT batch.place
    FROM batch
    JOIN jobsd.jobs AS job ON job.id = batch.job_id
    WHERE (jobsd.lane_of(job.class_name) IN (
            SELECT unnest(lanes) FROM jobsd.worker_classes WHERE process_id = %(process_id)s
        )) IS NOT TRUE
), free AS (
    SELECT ready.ctid AS place
    FROM strange
    JOIN jobsd.ready_executions AS ready ON ready.ctid = strange.place
    FOR UPDATE OF ready SKIP LOCKED
), gone AS (
    DELETE FROM jobsd.ready_executions
    WHERE ctid = ANY (ARRAY(SELECT place FROM free))
    RETURNING job_id, position, priority, queue_name
), moved AS (
    INSERT INTO jobsd.parked_executions (job_id, position, priority, queue_name, lane)
    SELECT
        gone.job_id, gone.position, gone.priority, gone.queue_name,
        jobsd.lane_of(job.class_name)
    FROM gone
    JOIN jobsd.jobs AS job ON job.id = gone.job_id
    ON CONFLICT (job_id) DO NOTHING -- a person may have put it there
    RETURNING queue_name
)
SELECT
    (SELECT max(position) FROM batch),
    (SELECT count(*) FROM batch) >= %(limit)s,
    (SELECT count(*) FROM moved),
    (
        SELECT count(pg_notify('jobsd.wake', 'lane ' || queue_name))
        FROM (SELECT DISTINCT queue_name FROM moved) AS queues
    );
