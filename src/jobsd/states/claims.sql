-- nothing: begin a turn that records no success.
WITH fenced AS (
    SELECT NULL::bigint AS id WHERE false
);

-- record: begin a turn by recording plain successes, fenced by their claims. A claim's row only
-- ever loses ids, so it is whole as long as it has as many ids as its worker believes. (Comparing
-- the ids themselves, `@>`, is quadratic.) A claim loses the jobs that have ended in it, and not a
-- job with the same id that ended in another claim: that one may be fenced out. The server checks
-- the condition again on the newest version of a row that another session has just changed. A
-- locked row is waited for up to `lock_wait`: it is set here, because a setting of the session
-- would stay for other clients of a pooler, and is read before the first row is locked. The sender
-- hands over the slots of the removed claims in the next statement. All jobs are found by one
-- search of the index, in the order of their ids; their times are in arrays of the same order, in
-- which a job is found by bisection.
WITH bounded AS MATERIALIZED (
    SELECT set_config('lock_timeout', %(lock_wait)s, true)
), done AS (
    SELECT claim_id, job_id, started_us, ended_us
    FROM unnest(
        %(claim_ids)s::bigint[], %(job_ids)s::bigint[],
        %(started_us)s::bigint[], %(ended_us)s::bigint[]
    ) AS ended (claim_id, job_id, started_us, ended_us)
), batch AS (
    SELECT claim_id, held, remaining
    FROM bounded
    CROSS JOIN unnest(%(batch_ids)s::bigint[], %(held)s::integer[], %(remaining)s::integer[])
        AS batch (claim_id, held, remaining)
), emptied AS (
    DELETE FROM jobsd.claims AS claim
    USING batch
    WHERE claim.id = batch.claim_id
        AND batch.remaining = 0
        AND cardinality(claim.job_ids) = batch.held
    RETURNING claim.id
), shrunk AS (
    UPDATE jobsd.claims AS claim
    SET job_ids = ARRAY(
        SELECT member.id
        FROM unnest(claim.job_ids) WITH ORDINALITY AS member (id, turn)
        WHERE (claim.id, member.id) NOT IN (SELECT claim_id, job_id FROM done)
        ORDER BY member.turn
    )
    FROM batch
    WHERE claim.id = batch.claim_id
        AND batch.remaining > 0
        AND cardinality(claim.job_ids) = batch.held
    RETURNING claim.id
), fenced AS (
    SELECT id FROM emptied
    UNION ALL
    SELECT id FROM shrunk
), success AS MATERIALIZED (
    SELECT
        array_agg(job_id) AS ids,
        array_agg(started_us) AS started_us,
        array_agg(ended_us) AS ended_us
    FROM (
        SELECT job_id, started_us, ended_us
        FROM done
        WHERE (claim_id IN (SELECT id FROM fenced)) IS TRUE
        ORDER BY job_id
    ) AS ordered
);

-- finish: record them.
finished AS (
    -- Ends: what waits for the end of a job is to be noted here, and in `erase`.
    UPDATE jobsd.jobs AS job
    SET attempts = job.attempts + 1,
        started_at = now() - interval '1 us' * (SELECT started_us FROM success)[
            width_bucket(job.id, (SELECT ids FROM success))
        ],
        finished_at = now() - interval '1 us' * (SELECT ended_us FROM success)[
            width_bucket(job.id, (SELECT ids FROM success))
        ],
        outcome = 'finished'
    WHERE job.id = ANY ((SELECT ids FROM success)::bigint[])
);

-- erase: delete them, where finished jobs are not kept.
erased AS (
    DELETE FROM jobsd.jobs
    WHERE id = ANY ((SELECT ids FROM success)::bigint[])
    RETURNING id
), forgotten AS (
    DELETE FROM jobsd.attempts
    WHERE job_id = ANY (ARRAY(SELECT id FROM erased))
);

-- no_claim: end a turn that claims nothing.
unused AS (SELECT)
SELECT NULL::bigint, 0, (SELECT string_agg(id::text, ',') FROM fenced);

-- conclude: record all other outcomes of jobs, fenced by the ids in their claims (see `end_jobs`).
-- Returns the claims that held, and which jobs were discarded because they were cancelled.
SELECT
    coalesce(array_agg(DISTINCT claim_id), '{}'),
    coalesce(array_agg(ARRAY[job_id, claim_id]) FILTER (WHERE reason = 'cancelled'), '{}')
FROM jobsd.end_jobs(
    %(job_ids)s::bigint[], %(keep)s::boolean, NULL, %(claim_ids)s::bigint[],
    %(outcomes)s::text[], %(waits_s)s::float8[], %(started_s)s::float8[], %(ended_s)s::float8[],
    %(errors)s::text[], %(positions)s::bigint[], %(process)s, %(lock_wait)s
);

-- own: read back the claims of one process.
SELECT id, job_ids, moved_from, completed
FROM jobsd.claims
WHERE process_id = %(process_id)s
ORDER BY id
LIMIT 10000;

-- locked: return the jobs that can't be written now, because another session holds a row of the job
-- or of its claim locked. It waits for no lock, and releases its own locks at once.
WITH wanted AS (
    SELECT job_id, claim_id
    FROM unnest(%(job_ids)s::bigint[], %(claim_ids)s::bigint[]) AS wanted (job_id, claim_id)
), claim AS (
    SELECT id
    FROM jobsd.claims
    WHERE id = ANY (%(claim_ids)s::bigint[])
    ORDER BY id
    FOR UPDATE SKIP LOCKED
), job AS (
    SELECT id
    FROM jobsd.jobs
    WHERE id = ANY (%(job_ids)s::bigint[])
    ORDER BY id
    FOR UPDATE SKIP LOCKED
), had AS (
    SELECT
        (SELECT coalesce(array_agg(id), '{}') FROM claim) AS claims,
        (SELECT coalesce(array_agg(id), '{}') FROM job) AS jobs
)
SELECT wanted.job_id, wanted.claim_id
FROM had
CROSS JOIN wanted
WHERE (
        wanted.claim_id <> ALL (had.claims)
        AND EXISTS (SELECT FROM jobsd.claims AS claim WHERE claim.id = wanted.claim_id)
    )
    OR (
        wanted.job_id <> ALL (had.jobs)
        AND EXISTS (SELECT FROM jobsd.jobs AS job WHERE job.id = wanted.job_id)
    )
ORDER BY wanted.job_id, wanted.claim_id;

-- cancelled: return the jobs of a process that are to stop, and whether each of them is forced.
SELECT member.id, claim.id, (member.id = ANY (claim.forced)) IS TRUE
FROM jobsd.claims AS claim
CROSS JOIN LATERAL unnest(claim.cancelled) AS member (id)
WHERE claim.process_id = %(process_id)s AND claim.cancelled IS NOT NULL
ORDER BY claim.id, member.id
LIMIT 10000;
