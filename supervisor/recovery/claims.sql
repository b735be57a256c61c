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
-- unless they are to be released. Jobs that were only claimed go back untouched. What is known of a
-- job counts only in its claim, because another job may have its id by now. With `threads`, it is
-- not known which jobs ran: as many of the first functions of each claim count as running, and of
-- the first coroutines as many as `coroutines`. Claims that a last statement of the dead process
-- still holds locked are left for the next call. So are jobs if another session holds a row locked
-- that must be changed: they stay in their claim (with `threads` still among its first ones). The
-- row of a released job is changed only if it was unique until it was claimed: with `threads`, its
-- whole claim is left, because the places of its jobs say which of them ran. A program that only
-- refers to a job, by a foreign key of its own, does not prevent a change of the job, but it
-- prevents a delete. A cancelled job is discarded, unless it had finished. If a job was moved to a
-- claim of its own, the dead process may have known only the claim before. Of a claim that holds a
-- slot, only the first job counts as running, because its jobs run one after the other. A job that
-- has completed itself has ended: of it only the claim is removed. The slots are freed with the
-- claims: the caller hands over in the next statement, for the keys in the last row. That row
-- leaves out keys whose jobs go back as ready ones.
WITH claim AS (
    SELECT id, job_ids, concurrency_key, cancelled, moved_from
    FROM jobsd.claims
    WHERE process_id = %(process_id)s
    ORDER BY id
    FOR UPDATE SKIP LOCKED
), member AS (
    SELECT
        claim.id AS claim_id, claim.concurrency_key, claim.moved_from,
        member.id AS job_id, member.turn, kind.runs_on_loop,
        row_number() OVER (PARTITION BY claim.id, kind.runs_on_loop ORDER BY member.turn) AS place,
        (member.id = ANY (claim.cancelled)) IS TRUE AS is_cancelled
    FROM claim
    CROSS JOIN LATERAL unnest(claim.job_ids) WITH ORDINALITY AS member (id, turn)
    CROSS JOIN LATERAL (
        SELECT %(threads)s > 0 AND %(coroutines)s > 0 AND EXISTS (
            SELECT
            FROM jobsd.jobs AS job
            JOIN jobsd.definitions AS known ON known.class_name = job.class_name
            WHERE job.id = member.id AND known.asynchronous
        ) AS runs_on_loop
    ) AS kind
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
), seen AS (
    SELECT
        member.claim_id,
        member.concurrency_key,
        member.job_id,
        member.turn,
        member.is_cancelled,
        ending.wait_s,
        ending.error_type,
        ending.error,
        CASE
            WHEN (member.claim_id, member.job_id) IN (SELECT claim_id, job_id FROM succeeded)
                THEN 'finished'
            WHEN ending.outcome IS NOT NULL THEN ending.outcome
            WHEN %(release)s THEN 'released'
            WHEN (member.claim_id, member.job_id) IN (SELECT claim_id, job_id FROM running)
                OR (member.moved_from, member.job_id) IN (SELECT claim_id, job_id FROM running)
                OR member.place <= CASE
                    WHEN member.runs_on_loop THEN %(coroutines)s
                    ELSE %(threads)s
                END
                    AND (member.turn = 1 OR member.concurrency_key IS NULL)
                THEN 'crashed'
            ELSE 'released'
        END AS ended_as
    FROM member
    LEFT JOIN ending
        ON ending.claim_id = member.claim_id AND ending.job_id = member.job_id
), judged AS (
    SELECT
        claim_id, concurrency_key, job_id, turn, wait_s, error_type, error, ended_as,
        is_cancelled AND ended_as <> 'finished' AS is_cancelled,
        CASE
            WHEN is_cancelled AND ended_as <> 'finished' THEN 'discarded'
            ELSE ended_as
        END AS verdict
    FROM seen
), stays AS (
    SELECT judged.claim_id, judged.job_id, judged.verdict
    FROM judged
    JOIN held ON held.id = judged.job_id
    WHERE judged.verdict <> 'released' OR held.unique_until = 'started'
), waiting AS (
    SELECT claim_id, array_agg(job_id ORDER BY turn) AS job_ids
    FROM judged
    WHERE (claim_id, job_id) IN (SELECT claim_id, job_id FROM stays)
        OR %(threads)s > 0
            AND claim_id IN (SELECT claim_id FROM stays WHERE verdict = 'released')
    GROUP BY claim_id
), given AS (
    SELECT *
    FROM judged
    WHERE (claim_id, job_id) NOT IN (SELECT claim_id, unnest(job_ids) FROM waiting)
), gone AS (
    DELETE FROM jobsd.claims
    WHERE id IN (SELECT id FROM claim) AND id NOT IN (SELECT claim_id FROM waiting)
    RETURNING concurrency_key, completed
), shrunk AS (
    UPDATE jobsd.claims AS claim
    SET job_ids = waiting.job_ids
    FROM waiting
    WHERE claim.id = waiting.claim_id
), erased AS (
    DELETE FROM jobsd.jobs AS job
    USING given
    WHERE job.id = given.job_id
        AND given.verdict IN ('finished', 'discarded')
        AND NOT %(keep)s
    RETURNING
        job.id, job.class_name, job.queue_name, job.attempts + 1 AS attempts, job.created_at,
        given.verdict,
        CASE WHEN given.is_cancelled THEN 'cancelled' END AS reason
), forgotten AS (
    DELETE FROM jobsd.attempts
    WHERE job_id = ANY (ARRAY(SELECT id FROM erased)) AND NOT %(keep)s
), left_over AS (
    DELETE FROM jobsd.attempts AS attempt
    WHERE job_id = ANY (ARRAY(SELECT completed FROM gone WHERE completed IS NOT NULL))
        AND NOT EXISTS (SELECT FROM jobsd.jobs WHERE id = attempt.job_id)
), job AS (
    UPDATE jobsd.jobs AS job
    SET attempts = job.attempts + (given.ended_as NOT IN ('snoozed', 'released'))::integer,
        started_at = CASE
            WHEN given.verdict = 'finished' THEN now()
            WHEN given.ended_as = 'crashed' THEN coalesce(started.started_at, job.started_at)
            ELSE job.started_at
        END,
        finished_at = CASE WHEN given.verdict IN ('finished', 'discarded') THEN now() END,
        outcome = CASE WHEN given.verdict IN ('finished', 'discarded') THEN given.verdict END,
        reason = CASE WHEN given.is_cancelled THEN 'cancelled' END,
        scheduled_at = CASE
            WHEN given.verdict IN ('retried', 'snoozed')
                THEN now() + make_interval(secs => given.wait_s)
            ELSE job.scheduled_at
        END,
        unique_until = nullif(job.unique_until, 'started'),
        set_aside_at = NULL
    FROM given
    LEFT JOIN started ON started.job_id = given.job_id
    WHERE job.id = given.job_id
        AND given.verdict <> 'released'
        AND (given.verdict NOT IN ('finished', 'discarded') OR %(keep)s)
    RETURNING
        job.id, job.class_name, job.queue_name, job.priority, job.attempts, job.created_at,
        job.scheduled_at, job.concurrency_key, given.verdict, job.reason,
        CASE WHEN given.ended_as = 'crashed' THEN started.started_at END AS began_at,
        job.attempts + (given.ended_as IN ('snoozed', 'released') AND given.is_cancelled)::integer
            AS attempt,
        CASE
            WHEN given.ended_as = 'crashed' THEN %(error)s::jsonb
            WHEN given.ended_as IN ('failed', 'retried', 'discarded')
                THEN coalesce(
                    given.error,
                    %(lost)s::jsonb || jsonb_build_object('type', given.error_type)
                )
        END AS error,
        CASE
            WHEN given.verdict <> 'crashed' THEN given.verdict
            WHEN job.retries_crash AND job.attempts < job.max_attempts THEN 'retried'
            ELSE 'failed'
        END AS outcome
), released AS (
    SELECT
        job.id, job.class_name, job.queue_name, job.priority, job.attempts,
        job.concurrency_key, job.concurrency_limit,
        job.concurrency_key IS NULL AS is_free,
        CASE
            WHEN given.concurrency_key IS NULL
                OR given.claim_id NOT IN (SELECT claim_id FROM waiting)
                THEN job.id
        END AS position
    FROM given
    JOIN jobsd.jobs AS job ON job.id = given.job_id
    WHERE given.verdict = 'released'
), begun AS (
    -- These were unique until they were claimed.
    UPDATE jobsd.jobs
    SET unique_until = NULL
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM jobsd.jobs
        WHERE id = ANY (ARRAY(SELECT id FROM released)) AND unique_until = 'started'
        ORDER BY id
        FOR NO KEY UPDATE SKIP LOCKED
    ))
), attempt AS (
    INSERT INTO jobsd.attempts (job_id, attempt, process, started_at, ended_at, error)
    SELECT id, attempts, %(process)s, began_at, now(), error
    FROM job
    WHERE error IS NOT NULL
    ON CONFLICT (job_id, attempt, ended_at) DO UPDATE SET error = excluded.error
), failed AS (
    INSERT INTO jobsd.failed_executions (job_id, error, job_class, job_queue)
    SELECT id, error, class_name, queue_name
    FROM job
    WHERE outcome = 'failed'
    ON CONFLICT (job_id) DO UPDATE SET error = excluded.error, failed_at = excluded.failed_at
), scheduled AS (
    -- The monitor does not know a crashed job's own backoff: the default one is taken.
    INSERT INTO jobsd.scheduled_executions (
        job_id, scheduled_at, priority, queue_name, concurrency_key
    )
    SELECT
        id,
        CASE
            WHEN verdict = 'crashed'
                THEN now() + least(86400, 3 * 2 ^ least(attempts - 1, 20))
                    * (1 + random() * 0.15) * interval '1 second'
            ELSE scheduled_at
        END,
        priority, queue_name, concurrency_key
    FROM job
    WHERE outcome IN ('retried', 'snoozed')
    ON CONFLICT (job_id) DO NOTHING -- put there by somebody's hand
), ready AS (
    INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
    SELECT id, id, priority, queue_name
    FROM released
    WHERE is_free
    ON CONFLICT (job_id) DO NOTHING -- put there by somebody's hand
), limited AS (
    INSERT INTO jobsd.blocked_executions (
        job_id, position, priority, queue_name, concurrency_key, concurrency_limit
    )
    SELECT id, position, priority, queue_name, concurrency_key, concurrency_limit
    FROM released
    WHERE NOT is_free
    ON CONFLICT (job_id) DO NOTHING -- put there by somebody's hand
), woken AS (
    SELECT pg_notify(CASE payload WHEN 'due' THEN 'jobsd.due' ELSE 'jobsd.wake' END, payload)
    FROM (
        SELECT
            CASE WHEN is_free THEN 'ready ' ELSE 'limited ' END || queue_name AS payload
        FROM released
        UNION
        SELECT 'due'
        FROM job
        WHERE outcome IN ('retried', 'snoozed')
    ) AS payloads
    WHERE EXISTS (SELECT FROM jobsd.sleepers)
)
SELECT
    id, class_name, queue_name, attempt, outcome, error, reason, 0::bigint, false,
    NULL::text[], NULL::bigint, created_at
FROM job
UNION ALL
SELECT id, class_name, queue_name, attempts, verdict, NULL, reason, 0, false, NULL, NULL, created_at
FROM erased
UNION ALL
SELECT id, class_name, queue_name, attempts, 'released', NULL, NULL, 0, false, NULL, NULL, NULL
FROM released
UNION ALL
-- One more row says whether claims are left because something was locked, and for which keys to
-- hand over: each key as often as it has a free slot. It is there in any case, so it is the one
-- that wakes.
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, (SELECT count(*) FROM woken), EXISTS (
    SELECT FROM waiting
) OR EXISTS (
    SELECT FROM jobsd.claims AS other
    WHERE other.process_id = %(process_id)s
        AND other.id NOT IN (SELECT id FROM claim)
), ARRAY(
    SELECT concurrency_key
    FROM gone
    WHERE concurrency_key NOT IN (
        SELECT released.concurrency_key
        FROM released
        WHERE NOT is_free AND position IS NOT NULL
    )
), (
    SELECT CASE WHEN count(*) > 0 THEN jobsd.keep_ends(
        array_agg(id), array_agg(class_name), array_agg(created_at)
    ) END
    FROM erased
    WHERE verdict = 'discarded'
), NULL;

-- settled: return whether a process has no claims left.
SELECT NOT EXISTS (SELECT FROM jobsd.claims WHERE process_id = %(process_id)s);
