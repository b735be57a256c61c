-- again: of jobs that have ended since a backup, return those that would run again. An id alone
-- may belong to a job that was enqueued after the restore.
SELECT job.id, job.class_name, job.queue_name, place.state, job.created_at, ended.ended_at
FROM unnest(%(ids)s::bigint[], %(created_ats)s::timestamptz[], %(ended_ats)s::timestamptz[])
    AS ended (id, created_at, ended_at)
JOIN jobsd.jobs AS job
    ON job.id = ended.id AND job.created_at = ended.created_at AND job.outcome IS NULL
CROSS JOIN LATERAL (
    SELECT state FROM jobsd.places WHERE job_id = job.id LIMIT 1
) AS place
WHERE place.state <> 'failed'
ORDER BY job.id;
