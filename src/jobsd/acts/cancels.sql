-- cancel: cancel some jobs, wherever they are; says which state each had.
SELECT id, was
FROM jobsd.cancel_jobs(%(ids)s::bigint[], %(force)s, %(keep)s)
ORDER BY id;

-- open: say which of these jobs have not ended.
SELECT id
FROM jobsd.jobs
WHERE id = ANY (%(ids)s::bigint[])
    AND outcome IS NULL
    AND NOT EXISTS (SELECT FROM jobsd.failed_executions AS failed WHERE failed.job_id = jobs.id)
ORDER BY id;

-- say: say of jobs that are discarded that they were cancelled.
UPDATE jobsd.jobs
SET reason = 'cancelled'
WHERE id = ANY (%(ids)s::bigint[]) AND outcome = 'discarded';
