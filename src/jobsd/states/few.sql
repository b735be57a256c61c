-- take_first: begin a claim of few jobs: take the first ones of all queues that are not paused, from
-- the head of the index: without a bound, the server sets up a quarter less. Nothing is recorded by
-- the same statement. Jobs of queues and classes that are `foreign` are left to a worker that knows them.
WITH taken AS (
    DELETE FROM jobsd.ready_executions
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM jobsd.ready_executions AS ready
        WHERE queue_name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
            AND (cardinality(%(foreign)s::text[]) = 0 OR (
                SELECT queue_name || E'\n' || class_name <> ALL (%(foreign)s::text[])
                FROM jobsd.jobs
                WHERE id = ready.job_id
            ) IS NOT FALSE)
        ORDER BY priority, position
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING job_id, priority, position
);

-- take_first_named: the same from one queue.
WITH taken AS (
    DELETE FROM jobsd.ready_executions
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM jobsd.ready_executions AS ready
        WHERE queue_name = %(queue_name)s
            AND queue_name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
            AND (cardinality(%(foreign)s::text[]) = 0 OR (
                SELECT queue_name || E'\n' || class_name <> ALL (%(foreign)s::text[])
                FROM jobsd.jobs
                WHERE id = ready.job_id
            ) IS NOT FALSE)
        ORDER BY priority, position
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING job_id, priority, position
);

-- hold_few: claim the few jobs that were taken, and return them, in no order. A job without a class
-- was deleted. For a single job, the setup of the statement is half of the server's work. So this
-- leaves out the id that the server draws, the aggregate, the search for expirations and all other
-- parts that most of these claims don't use, or sets them up only on use.
claim AS (
    INSERT INTO jobsd.claims (id, process_id, job_ids)
    SELECT
        %(claim_id)s, %(process_id)s,
        ARRAY(SELECT job_id FROM taken ORDER BY priority, position)
    WHERE EXISTS (SELECT FROM taken)
)
SELECT
    taken.job_id, job.class_name, job.arguments::text, job.queue_name, job.attempts,
    job.max_attempts,
    %(asked_at)s - date_part('epoch', now() - coalesce(job.scheduled_at, job.created_at)),
    job.concurrency_key, taken.priority, taken.position, job.context::text,
    CASE WHEN job.expires_in IS NOT NULL THEN
        %(asked_at)s + jobsd.expires_in_s(taken.job_id)
    END,
    date_part('epoch', now() - job.set_aside_at),
    (date_part('epoch', job.created_at) * 1000000)::bigint
FROM taken
LEFT JOIN LATERAL (
    -- OFFSET 0: without it, a plan that was made on an empty table reads all jobs. Each column
    -- that is named here is set up three times.
    SELECT
        class_name, arguments, queue_name, attempts, max_attempts, scheduled_at, created_at,
        concurrency_key, context, expires_in, set_aside_at
    FROM jobsd.jobs
    WHERE id = taken.job_id
    OFFSET 0
) AS job ON true;
