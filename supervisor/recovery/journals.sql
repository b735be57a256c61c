-- held: lock the claims that the outcomes of a journal name, and return the jobs that they still
-- hold, and the job that has completed itself in them.
SELECT id, job_ids, concurrency_key, completed
FROM jobsd.claims
WHERE id = ANY (%(claim_ids)s::bigint[])
ORDER BY id
FOR UPDATE;
