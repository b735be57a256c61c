-- bounded: let the server end this transaction if the monitor stands still in it. Otherwise a
-- process whose row it has locked could not write its heartbeat, and soon its whole tree would
-- seem dead. The wait for a row is short, too, because the heartbeats of our own tree wait
-- meanwhile.
SELECT
    set_config('idle_in_transaction_session_timeout', '2s', true),
    set_config('lock_timeout', '1s', true);

-- standing: lock the row of a process that seems dead, unless its heartbeat has moved since it
-- was read: a process that stood still writes a heartbeat before it claims anything. This does
-- not wait for the row: while another session holds it locked, the process can't write its
-- heartbeat, so a heartbeat that stands still proves nothing. If this waited, it could get the
-- row before the living process does.
SELECT id
FROM jobsd.processes
WHERE id = %(process_id)s
    AND abs(extract(epoch FROM last_heartbeat_at)::float8 - %(heartbeat)s) <= %(within_s)s
FOR UPDATE SKIP LOCKED;

-- recover: take the claims of a process that has ended. Jobs that had ended and were not recorded
-- are recorded now, with their success or their other outcome. Running jobs get a failed attempt,
-- unless they are to be released. Jobs that were only claimed go back untouched. The known facts of
-- a job count only for its claim, because another job may have its id by now. With `threads`, it is
-- not known which jobs ran: the first `threads` jobs of each claim count as running. Claims that a
-- last statement of the dead process still holds locked are left for the next call. So are jobs if
-- another session holds a row locked that must be changed: they stay in their claim (with `threads`
-- still among its first ones). The row of a released job is changed only if it was unique until it
-- was claimed: with `threads`, its whole claim is left, because the order of its jobs shows which
-- of them ran. A program that only refers to a job, by a foreign key of its own, does not prevent a
-- change of the job, but it prevents a delete. A cancelled job is discarded, unless it had
-- finished. If a job was moved to a claim of its own, the dead process may have known only the
-- claim before. Of a claim that holds a slot, only the first job counts as running, because its
-- jobs run one after the other. A job that has completed itself has ended: of it only the claim is
-- removed. The slots of removed claims are handed over.
WITH claim AS (
    SELECT id, job_ids, concurrency_key, cancelled, moved_from
    FROM jobsd.claims
    WHERE process_id = %(process_id)s
    ORDER BY id
    FOR UPDATE SKIP LOCKED
), member AS (
    SELECT
        claim.id AS claim_id, claim.concurrency_key, claim.moved_from,
        member.id AS job_id, member.turn,
        (member.id = ANY (claim.cancelled)) IS TRUE AS is_cancelled
    FROM claim
    CROSS JOIN LATERAL unnest(claim.job_ids) WITH ORDINALITY AS member (id, turn)
), had AS (
    SELECT id
    FROM jobsd.jobs
    WHERE id = ANY (ARRAY(SELECT job_id FROM member))
        AND %(keep)s
    ORDER BY id
    FOR NO KEY UPDATE SKIP LOCKED
), had_to_erase AS (
    SELECT id
    FROM jobsd.jobs
    WHERE id = ANY (ARRAY(SELECT job_id FROM member))
        AND NOT %(keep)s
    ORDER BY id
    FOR UPDATE SKIP LOCKED
), held AS (
    SELECT id, unique_until
    FROM jobsd.jobs
    WHERE id = ANY (ARRAY(SELECT job_id FROM member))
        AND id NOT IN (SELECT id FROM had UNION ALL SELECT id FROM had_to_erase)
), ending AS (
    SELECT claim_id, job_id, outcome, wait_s, error_type, error::jsonb AS error
    FROM unnest(
        %(ended_claims)s::bigint[], %(ended)s::bigint[], %(outcomes)s::text[],
        %(waits_s)s::float8[], %(error_types)s::text[], %(errors)s::text[]
    ) AS ending (claim_id, job_id, outcome, wait_s, error_type, error)
), succeeded AS (
    SELECT claim_id, job_id
    FROM unnest(%(succeeded_claims)s::bigint[], %(succeeded)s::bigint[])
        AS success (claim_id, job_id)
), started AS (
    -- For a process of another tree, this is what its last heartbeat has written.
    SELECT key::bigint AS job_id, now() - make_interval(secs => value::float8) AS started_at
    FROM jsonb_each_text(%(ages_s)s::jsonb)
    UNION ALL
    SELECT key::bigint, to_timestamp(value::float8)
    FROM jobsd.processes
    CROSS JOIN LATERAL jsonb_each_text(running)
    WHERE id = %(process_id)s AND %(ages_s)s::jsonb = '{}'
), running AS (
    SELECT claim_id, job_id
    FROM unnest(%(running_claims)s::bigint[], %(running)s::bigint[]) AS run (claim_id, job_id)
), judged AS (
    SELECT
        member.claim_id,
        member.job_id,
        member.turn,
        ending.wait_s,
        ending.error_type,
        ending.error,
        member.is_cancelled,
        CASE
            WHEN (member.claim_id, member.job_id) IN (SELECT claim_id, job_id FROM succeeded)
                THEN 'finished'
            WHEN ending.outcome IS NOT NULL THEN ending.outcome
            WHEN %(release)s THEN 'released'
            WHEN (member.claim_id, member.job_id) IN (SELECT claim_id, job_id FROM running)
                OR (member.moved_from, member.job_id) IN (SELECT claim_id, job_id FROM running)
                OR member.turn <= %(threads)s
                    AND (member.turn = 1 OR member.concurrency_key IS NULL)
                THEN 'crashed'
            ELSE 'released'
        END AS outcome
    FROM member
    LEFT JOIN ending
        ON ending.claim_id = member.claim_id AND ending.job_id = member.job_id
), stays AS (
    SELECT
        judged.claim_id, judged.job_id,
        judged.outcome = 'released' AND NOT judged.is_cancelled AS goes_back
    FROM judged
    JOIN held ON held.id = judged.job_id
    WHERE judged.outcome <> 'released' OR judged.is_cancelled OR held.unique_until = 'started'
), given AS (
    SELECT
        judged.claim_id, judged.job_id, judged.outcome, judged.wait_s,
        CASE
            WHEN judged.outcome = 'finished' THEN 0
            WHEN judged.outcome = 'crashed'
                THEN extract(epoch FROM clock_timestamp() - started.started_at)
        END AS started_s,
        CASE
            WHEN judged.outcome = 'crashed' THEN %(error)s
            WHEN judged.outcome IN ('failed', 'retried', 'discarded')
                THEN coalesce(
                    judged.error,
                    %(lost)s::jsonb || jsonb_build_object('type', judged.error_type)
                )::text
        END AS error
    FROM judged
    LEFT JOIN started ON started.job_id = judged.job_id
    WHERE (judged.claim_id, judged.job_id) NOT IN (SELECT claim_id, job_id FROM stays)
        AND (%(threads)s = 0 OR judged.claim_id NOT IN (
            SELECT claim_id FROM stays WHERE goes_back
        ))
), gone AS (
    -- Of these claims all jobs have completed themselves, or were deleted.
    DELETE FROM jobsd.claims
    WHERE id IN (SELECT id FROM claim WHERE job_ids = '{}')
    RETURNING concurrency_key, completed
), left_over AS (
    DELETE FROM jobsd.attempts AS attempt
    WHERE job_id = ANY (ARRAY(SELECT completed FROM gone WHERE completed IS NOT NULL))
        AND NOT EXISTS (SELECT FROM jobsd.jobs WHERE id = attempt.job_id)
), ended AS (
    SELECT ended.*
    FROM (
        SELECT
            array_agg(claim_id) AS claim_ids, array_agg(job_id) AS job_ids,
            array_agg(outcome) AS outcomes, array_agg(wait_s) AS waits_s,
            array_agg(started_s) AS started_s, array_agg(error) AS errors
        FROM given
    ) AS batch
    CROSS JOIN LATERAL jobsd.end_jobs(
        batch.job_ids, %(keep)s, NULL, batch.claim_ids, batch.outcomes, batch.waits_s,
        batch.started_s, NULL, batch.errors, NULL, %(process)s
    ) AS ended
), handed AS (
    SELECT jobsd.hand_over(array_agg(concurrency_key)) AS size FROM gone
)
SELECT
    job_id, class_name, queue_name,
    attempts + (reason IS NOT NULL AND (claim_id, job_id) IN (
        SELECT claim_id, job_id FROM given WHERE outcome IN ('snoozed', 'released')
    ))::integer,
    outcome, error, reason, created_at, false
FROM ended
WHERE class_name IS NOT NULL
UNION ALL
-- One more row has whether claims are left because a row was locked.
SELECT
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    EXISTS (SELECT FROM stays) OR EXISTS (
        SELECT FROM jobsd.claims AS other
        WHERE other.process_id = %(process_id)s
            AND other.id NOT IN (SELECT id FROM claim)
    )
FROM handed;

-- settled: return whether a process has no claims left.
SELECT NOT EXISTS (SELECT FROM jobsd.claims WHERE process_id = %(process_id)s);
