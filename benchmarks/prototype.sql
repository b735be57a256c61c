-- make_jobs: one slim row for each job, kept.
CREATE TABLE jobsd.jobs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue_name text NOT NULL,
    class_name text NOT NULL,
    arguments text NOT NULL,
    priority smallint NOT NULL DEFAULT 0,
    external_id uuid NOT NULL DEFAULT gen_random_uuid(),
    scheduled_at timestamptz,
    finished_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- make_ready: what waits to be run.
CREATE TABLE jobsd.ready (
    job_id bigint PRIMARY KEY,
    queue_name text NOT NULL,
    priority smallint NOT NULL
);

-- make_ready_order: the order in which it is run.
CREATE INDEX ready_order ON jobsd.ready (queue_name, priority, job_id);

-- make_batches: one row for each batch that is claimed and not finished in full.
CREATE TABLE jobsd.batches (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    process_id bigint NOT NULL,
    job_ids bigint[] NOT NULL
);

-- fill: store many jobs that are ready.
WITH job AS (
    INSERT INTO jobsd.jobs (queue_name, class_name, arguments)
    SELECT 'default', 'noop', '[' || number || ']'
    FROM generate_series(1, %s::bigint) AS number
    RETURNING id, queue_name, priority
)
INSERT INTO jobsd.ready (job_id, queue_name, priority)
SELECT id, queue_name, priority
FROM job
ORDER BY id;

-- enqueue: store one job and wake who listens.
WITH job AS (
    INSERT INTO jobsd.jobs (queue_name, class_name, arguments)
    VALUES ('default', 'stamp', %s)
    RETURNING id, queue_name, priority
), ready AS (
    INSERT INTO jobsd.ready (job_id, queue_name, priority)
    SELECT id, queue_name, priority
    FROM job
)
SELECT pg_notify('prototype', '')
FROM job;

-- claim: take the next jobs of the queue.
WITH taken AS (
    DELETE FROM jobsd.ready
    WHERE job_id = ANY (ARRAY(
        SELECT job_id
        FROM jobsd.ready
        WHERE queue_name = 'default'
        ORDER BY priority, job_id
        LIMIT %s
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING job_id
), batch AS (
    INSERT INTO jobsd.batches (process_id, job_ids)
    SELECT %s, array_agg(job_id)
    FROM taken
    HAVING count(*) > 0
    RETURNING id
)
SELECT job.id, job.arguments, (SELECT id FROM batch)
FROM jobsd.jobs AS job
WHERE job.id = ANY (ARRAY(SELECT job_id FROM taken));

-- finish: record what has ended; a batch goes with its last job.
WITH gone AS (
    DELETE FROM jobsd.batches
    WHERE id = ANY (%s)
)
UPDATE jobsd.jobs
SET finished_at = now()
WHERE id = ANY (%s);
