-- groups: group the failed jobs by class and type of error, the group with the latest failure
-- first; of very many jobs those with the highest ids. The message and the job are those of
-- the latest failure of each group.
SELECT
    job.class_name,
    coalesce(failed.error ->> 'type', '') AS type,
    count(*),
    min(failed.failed_at),
    max(failed.failed_at),
    (array_agg(failed.error ->> 'message' ORDER BY failed.failed_at DESC, job.id DESC))[1],
    (array_agg(job.id ORDER BY failed.failed_at DESC, job.id DESC))[1],
    (array_agg(DISTINCT job.queue_name))[1:10]
FROM (
    SELECT job_id, failed_at, error
    FROM jobsd.failed_executions
    ORDER BY job_id DESC
    LIMIT %(most)s
) AS failed
JOIN jobsd.jobs AS job ON job.id = failed.job_id
GROUP BY job.class_name, coalesce(failed.error ->> 'type', '')
ORDER BY max(failed.failed_at) DESC, job.class_name, type
LIMIT 1000;
