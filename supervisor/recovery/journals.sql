-- held: lock the claims that outcomes of a journal name, and return what they still hold, or which
-- job has completed itself in them.
SELECT id, job_ids, concurrency_key, completed
FROM jobsd.claims
WHERE id = ANY (%(claim_ids)s::bigint[])
ORDER BY id
FOR UPDATE;
