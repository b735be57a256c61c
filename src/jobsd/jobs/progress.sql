-- write: write the progress of jobs, if the process still has them or they have ended. A row that
-- another session holds locked is skipped: its job will report again, and other jobs wait for us.
WITH said AS (
    SELECT job_id, progress
    FROM unnest(%(ids)s::bigint[], %(texts)s::text[]) AS said (job_id, progress)
), free AS MATERIALIZED (
    SELECT id
    FROM jobsd.jobs
    WHERE id = ANY (%(ids)s::bigint[])
        AND (
            outcome IS NOT NULL
            OR EXISTS (
                SELECT
                FROM jobsd.claims AS claim
                WHERE claim.process_id = %(process_id)s AND jobs.id = ANY (claim.job_ids)
            )
        )
    ORDER BY id
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE jobsd.jobs AS job
SET progress = said.progress::jsonb
FROM said
WHERE job.id = said.job_id AND job.id = ANY (ARRAY(SELECT id FROM free));

-- read: return the progress that some jobs have reported, and when each job was created, in
-- microseconds since 1970.
SELECT id, (date_part('epoch', created_at) * 1000000)::bigint, progress
FROM jobsd.jobs
WHERE id = ANY (%(ids)s::bigint[]) AND progress IS NOT NULL;
