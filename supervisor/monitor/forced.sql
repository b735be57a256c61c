-- forced: return the jobs of some processes that were cancelled with `--force`, and their
-- `kill_after`.
SELECT
    claim.process_id, member.id, claim.id,
    coalesce(extract(epoch FROM known.kill_after)::float8, %(kill_after_s)s::float8)
FROM jobsd.claims AS claim
CROSS JOIN LATERAL unnest(claim.forced) AS member (id)
JOIN jobsd.jobs AS job ON job.id = member.id
LEFT JOIN jobsd.definitions AS known ON known.class_name = job.class_name
WHERE claim.process_id = ANY (%(process_ids)s::bigint[])
    AND claim.forced IS NOT NULL
    AND member.id = ANY (claim.job_ids)
ORDER BY claim.id, member.id
LIMIT 1000;
