-- isolate: move a job to a claim of its own, so that a transaction of the author that records
-- its end delays no other job.
WITH rest AS (
    UPDATE jobsd.claims
    SET job_ids = array_remove(job_ids, %(job_id)s::bigint)
    WHERE id = %(claim_id)s
        AND job_ids @> ARRAY[%(job_id)s::bigint]
        AND cardinality(job_ids) > 1
    RETURNING
        process_id,
        CASE WHEN %(job_id)s::bigint = ANY (cancelled) THEN ARRAY[%(job_id)s::bigint] END
            AS cancelled,
        CASE WHEN %(job_id)s::bigint = ANY (forced) THEN ARRAY[%(job_id)s::bigint] END AS forced
)
INSERT INTO jobsd.claims (process_id, job_ids, cancelled, forced, moved_from)
SELECT process_id, ARRAY[%(job_id)s::bigint], cancelled, forced, %(claim_id)s
FROM rest
RETURNING id;

-- complete: record that a job has succeeded, in the author's transaction, fenced by its claim.
-- If this frees a slot, the worker hands it over after the commit. It waits for no lock except
-- that of a process that takes the claim away. Returns whether the claim was there.
WITH ours AS (
    DELETE FROM jobsd.claims AS claim
    WHERE claim.id = %(claim_id)s::bigint AND claim.job_ids = ARRAY[%(job_id)s::bigint]
    RETURNING claim.id, claim.process_id
), finished AS (
    UPDATE jobsd.jobs
    SET attempts = attempts + 1,
        started_at = clock_timestamp() - make_interval(secs => %(started_s)s::float8),
        finished_at = clock_timestamp(),
        outcome = 'finished'
    WHERE id = %(job_id)s::bigint AND %(keep)s::boolean AND EXISTS (SELECT FROM ours)
), erased AS (
    DELETE FROM jobsd.jobs
    WHERE id = %(job_id)s::bigint AND NOT %(keep)s::boolean AND EXISTS (SELECT FROM ours)
), forgotten AS (
    DELETE FROM jobsd.attempts
    WHERE job_id = %(job_id)s::bigint
        AND NOT %(keep)s::boolean
        AND EXISTS (SELECT FROM ours)
), kept AS (
    INSERT INTO jobsd.results (job_id, state, result, expires_at, process)
    SELECT
        %(job_id)s::bigint, 'finished', %(result)s::jsonb,
        clock_timestamp() + make_interval(secs => %(ttl_s)s::float8),
        (SELECT name FROM jobsd.processes WHERE id = ours.process_id)
    FROM ours
    WHERE %(ttl_s)s::float8 IS NOT NULL
    ON CONFLICT (job_id) DO UPDATE
        SET state = excluded.state, result = excluded.result, expires_at = excluded.expires_at,
            process = excluded.process
)
SELECT
    (SELECT count(*) FROM ours),
    (
        SELECT count(pg_notify('jobsd.done', waiter.job_id::text))
        FROM jobsd.waiters AS waiter
        WHERE waiter.job_id = %(job_id)s::bigint AND EXISTS (SELECT FROM ours)
    );

-- completed: return the outcome of transactions that recorded the ends of jobs: committed,
-- rolled back, still open; or lost, if another process has taken the job, which may have
-- finished since in another attempt. It waits for no lock.
WITH free AS (
    SELECT id
    FROM jobsd.claims
    WHERE id = ANY (%(claim_ids)s::bigint[])
    ORDER BY id
    FOR UPDATE SKIP LOCKED
)
SELECT
    given.claim_id,
    CASE
        WHEN given.claim_id IN (SELECT id FROM free) THEN 'rolled back'
        WHEN EXISTS (SELECT FROM jobsd.claims AS claim WHERE claim.id = given.claim_id)
            THEN 'open'
        WHEN job.id IS NULL OR (job.outcome = 'finished' AND job.attempts = given.attempt)
            THEN 'committed'
        ELSE 'lost'
    END
FROM unnest(%(claim_ids)s::bigint[], %(job_ids)s::bigint[], %(attempts)s::integer[])
    AS given (claim_id, job_id, attempt)
LEFT JOIN jobsd.jobs AS job ON job.id = given.job_id;
