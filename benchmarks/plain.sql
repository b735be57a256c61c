-- insert: store one job, by the least that has to be written.
WITH job AS (
    INSERT INTO jobsd.jobs (queue_name, class_name, arguments)
    VALUES ('default', 'noop', %s::jsonb)
    RETURNING id
)
INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
SELECT id, id, 0, 'default'
FROM job;

-- take_ids: take the next ids.
SELECT nextval('jobsd.jobs_id_seq')
FROM generate_series(1, %s::bigint);

-- copy_jobs: store many jobs.
COPY jobsd.jobs (id, queue_name, class_name, arguments)
FROM STDIN;

-- copy_ready: make them ready.
COPY jobsd.ready_executions (job_id, position, priority, queue_name)
FROM STDIN;

-- make_orders: make a table of the program that enqueues.
CREATE TABLE IF NOT EXISTS public.orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number bigint NOT NULL
);

-- order: store what the program's transaction is about.
INSERT INTO public.orders (number)
VALUES (%s);
