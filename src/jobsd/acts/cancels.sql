-- cancel: cancel jobs in any state; returns the state that each had.
SELECT id, was
FROM jobsd.cancel_jobs(%(ids)s::bigint[], %(force)s, %(keep)s)
ORDER BY id;

-- open: return the jobs of a list that have not ended.
SELECT id
FROM jobsd.jobs
WHERE id = ANY (%(ids)s::bigint[])
    AND outcome IS NULL
    AND NOT EXISTS (
        SELECT FROM jobsd.places AS place WHERE place.job_id = jobs.id AND place.state = 'failed'
    )
ORDER BY id;

-- mark_cancelled: set the reason of discarded jobs to cancelled.
UPDATE jobsd.jobs
SET reason = 'cancelled'
WHERE id = ANY (%(ids)s::bigint[]) AND outcome = 'discarded';
