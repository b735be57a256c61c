-- retry: let failed jobs run again with all their attempts. Returns the retried jobs, and the jobs
-- that were refused because another job has their unique key.
SELECT id, refused
FROM jobsd.retry_jobs(%(ids)s::bigint[]);

-- taken: return the job that has the unique key of a failed one, if it prevents a retry.
SELECT held.job_id
FROM jobsd.jobs AS job
JOIN jobsd.unique_jobs AS held ON held.key = job.unique_key
WHERE job.id = %(id)s AND job.unique_until = 'finished' AND held.job_id <> job.id;
