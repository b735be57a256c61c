-- oldest: list the ready jobs of one queue or class that have waited longest, among the first `most`
-- ready jobs in the order of claims.
SELECT
    job.id, job.class_name, job.queue_name, job.priority,
    greatest(coalesce(job.scheduled_at, job.created_at), job.created_at) AS ready_at
FROM (
    SELECT job_id
    FROM jobsd.ready_executions
    WHERE (%(queue_name)s::text IS NULL OR queue_name = %(queue_name)s)
    ORDER BY priority, position
    LIMIT %(most)s
) AS ready
JOIN jobsd.jobs AS job ON job.id = ready.job_id
WHERE (%(class_name)s::text IS NULL OR job.class_name = %(class_name)s)
ORDER BY ready_at, job.id
LIMIT %(limit)s;

-- workers: list the workers that have published that they know a class, and the queues that they
-- take.
SELECT process_id, queues
FROM jobsd.worker_classes
WHERE jobsd.lane_of(%(class_name)s) = ANY (lanes)
ORDER BY process_id
LIMIT 10000;
