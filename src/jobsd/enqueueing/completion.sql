-- isolate: move a job to a claim of its own, so that a user's transaction that records its end
-- delays no other job.
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

-- complete: record that a job has succeeded, in the user's transaction, fenced by its claim and, if
-- a transaction was opened for it, by that transaction. The claim's row stays, marked, and with it
-- the slot that it may hold: the worker frees both once the function has returned. It waits for no
-- lock except that of a process that takes the claim away. Returns whether the claim was there, the
-- isolation level of the transaction, and whether it is the transaction that was opened.
WITH ours AS (
    UPDATE jobsd.claims
    SET job_ids = '{}', completed = %(job_id)s::bigint
    WHERE id = %(claim_id)s::bigint
        AND job_ids = ARRAY[%(job_id)s::bigint]
        AND (
            NOT %(opened)s::boolean
            OR current_setting('jobsd_job.completing', true) IS NOT DISTINCT FROM 'open'
        )
    RETURNING id, process_id, ARRAY[completed] AS job_ids
), kept AS (
    INSERT INTO jobsd.results (job_id, state, result, expires_at, process, created_at)
    SELECT
        %(job_id)s::bigint, 'finished', %(result)s::jsonb,
        clock_timestamp() + make_interval(secs => %(ttl_s)s::float8),
        (SELECT name FROM jobsd.processes WHERE id = ours.process_id),
        (SELECT created_at FROM jobsd.jobs WHERE id = %(job_id)s::bigint)
    FROM ours
    WHERE %(ttl_s)s::float8 IS NOT NULL
    ON CONFLICT (job_id) DO UPDATE
        SET state = excluded.state, result = excluded.result, expires_at = excluded.expires_at,
            process = excluded.process, created_at = excluded.created_at
)
SELECT
    (
        SELECT count(*)
        FROM ours
        CROSS JOIN LATERAL jobsd.end_jobs(
            ours.job_ids, %(keep)s::boolean, outcomes => ARRAY['finished'],
            started_s => ARRAY[%(started_s)s::float8]
        )
    ),
    current_setting('transaction_isolation'),
    current_setting('jobsd_job.completing', true) IS NOT DISTINCT FROM 'open',
    (
        SELECT count(pg_notify('jobsd.done', waiter.job_id::text))
        FROM jobsd.waiters AS waiter
        WHERE waiter.job_id = %(job_id)s::bigint AND EXISTS (SELECT FROM ours)
    );

-- unended: return whether a job that was completed before can be completed again, because that was
-- rolled back. It waits for no lock: the former transaction may be open in the same thread.
SELECT id
FROM jobsd.claims
WHERE id = %(claim_id)s::bigint AND job_ids = ARRAY[%(job_id)s::bigint]
FOR NO KEY UPDATE SKIP LOCKED;

-- completed: return the outcome of transactions that recorded the ends of jobs: committed,
-- rolled back, still open; or lost, if another process has taken the job, which may have
-- finished since in another attempt. It waits for no lock.
WITH free AS (
    SELECT id, completed
    FROM jobsd.claims
    WHERE id = ANY (%(claim_ids)s::bigint[])
    ORDER BY id
    FOR NO KEY UPDATE SKIP LOCKED
)
SELECT
    given.claim_id,
    CASE
        WHEN free.completed IS NOT NULL THEN 'committed'
        WHEN free.id IS NOT NULL THEN 'rolled back'
        WHEN EXISTS (SELECT FROM jobsd.claims AS claim WHERE claim.id = given.claim_id)
            THEN 'open'
        WHEN job.id IS NULL OR (job.outcome = 'finished' AND job.attempts = given.attempt)
            THEN 'committed'
        ELSE 'lost'
    END
FROM unnest(%(claim_ids)s::bigint[], %(job_ids)s::bigint[], %(attempts)s::integer[])
    AS given (claim_id, job_id, attempt)
LEFT JOIN free ON free.id = given.claim_id
LEFT JOIN jobsd.jobs AS job ON job.id = given.job_id;

-- free: remove the claims of jobs that have completed themselves and returned, hand their slots
-- over, and notify the sessions that began to wait for them after `complete`. (The function hands
-- over by statements of its own, which see the jobs that were blocked until the claims were
-- locked.) The attempts of erased jobs are deleted, too.
WITH gone AS (
    DELETE FROM jobsd.claims
    WHERE id = ANY (%(claim_ids)s::bigint[]) AND completed IS NOT NULL
    RETURNING completed, concurrency_key
), forgotten AS (
    DELETE FROM jobsd.attempts AS attempt
    WHERE job_id = ANY (ARRAY(SELECT completed FROM gone))
        AND NOT EXISTS (SELECT FROM jobsd.jobs WHERE id = attempt.job_id)
)
SELECT
    (SELECT coalesce(jobsd.hand_over(array_agg(concurrency_key)), 0) FROM gone),
    (
        SELECT count(pg_notify('jobsd.done', waiter.job_id::text))
        FROM jobsd.waiters AS waiter
        WHERE waiter.job_id = ANY (ARRAY(SELECT completed FROM gone))
    );
