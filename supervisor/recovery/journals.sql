-- present: return which of these jobs still have a row. A job that has finished has none if
-- finished jobs are not kept: no table shows which process recorded its outcome.
SELECT id FROM jobsd.jobs WHERE id = ANY (%(job_ids)s::bigint[]);

-- held: lock the claims that the outcomes of a journal name, and return the jobs that they still
-- hold, and the job that has completed itself in them.
SELECT id, job_ids, completed
FROM jobsd.claims
WHERE id = ANY (%(claim_ids)s::bigint[])
ORDER BY id
FOR UPDATE;
