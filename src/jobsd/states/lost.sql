-- some: return which of some jobs are in no table.
SELECT job_id
FROM jobsd.lost_executions
WHERE job_id = ANY (%(ids)s::bigint[])
ORDER BY job_id;

-- lock: lock some jobs that have not ended, before they are checked again and changed. Jobs that
-- another session has locked are skipped: it is changing them.
SELECT id
FROM jobsd.jobs
WHERE id = ANY (%(ids)s::bigint[])
    AND outcome IS NULL
ORDER BY id
FOR UPDATE SKIP LOCKED;

-- free: return the lost jobs that no worker runs, by the heartbeats.
SELECT lost.id
FROM unnest(%(ids)s::bigint[]) AS lost (id)
WHERE NOT EXISTS (
    SELECT FROM jobsd.processes WHERE running ? lost.id::text
)
ORDER BY lost.id;

-- ready: make some lost jobs ready again, with all of their attempts left. Their `scheduled_at`
-- is now, so how long they have waited is measured from now.
SELECT jobsd.run_again(%(ids)s::bigint[]);

-- drop: discard some lost jobs.
SELECT job_id FROM jobsd.end_jobs(%(ids)s::bigint[], %(keep)s);
