-- How jobs end or go back: one function places every job that leaves a claim or is discarded.

-- The default pause before the attempt after this one, in seconds: `exponential()` in policy.py. A
-- worker sends the pause of the job's own backoff; of a crash that is not known.
CREATE FUNCTION jobsd.backoff_s(attempt integer, chance float8 DEFAULT random()) RETURNS float8
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN least(86400, least(86400, 3 * 2 ^ least(attempt - 1, 20)) * (1 + chance * 0.15));

-- Place jobs by their outcomes: finished, failed, crashed (retried or failed, by the job's
-- `retries_crash`), retried, snoozed, set_aside, discarded, expired, released, parked; without one,
-- a job is discarded for the reason `why`. Together with the batches of plain successes in
-- claims.sql, this is the only place that ends jobs. `started_s` and `ended_s` are ages at the time
-- of the call.
--
-- Each job is fenced by its claim: a claim that no longer holds all of its jobs changes nothing,
-- and its jobs are not returned. Claims that become empty are removed, and their slots handed over.
-- If a job has no claim, the caller has deleted its row in the table of its state, in the same
-- transaction. A cancelled job is discarded, unless it has finished; the newest version of its
-- claim's row has the note.
--
-- Only a released job keeps its position in the queue, which is its id, and a parked one, which is
-- given, in the lane of its class. Their rows are not changed, unless they were unique until they
-- were claimed. A limited job waits for a slot again: it is blocked as long as the claim that it
-- leaves holds a slot of its key. `lock_wait` bounds how long a row is waited for.
CREATE FUNCTION jobsd.end_jobs(
    job_ids bigint[], keep boolean, why text DEFAULT NULL, claim_ids bigint[] DEFAULT NULL,
    outcomes text[] DEFAULT NULL, waits_s float8[] DEFAULT NULL, started_s float8[] DEFAULT NULL,
    ended_s float8[] DEFAULT NULL, errors text[] DEFAULT NULL, positions bigint[] DEFAULT NULL,
    process text DEFAULT NULL, lock_wait text DEFAULT NULL
) RETURNS TABLE (
    claim_id bigint, job_id bigint, class_name text, queue_name text, attempts integer,
    created_at timestamptz, outcome text, reason text, error jsonb
)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    -- A transaction of the user may be open for long.
    moment timestamptz := clock_timestamp();
    fenced bigint[];
    holding bigint[];
    freed text[];
    stopped_claims bigint[];
    stopped_jobs bigint[];
BEGIN
    IF lock_wait IS NOT NULL THEN
        PERFORM set_config('lock_timeout', lock_wait, true);
    END IF;
    IF claim_ids IS NOT NULL THEN
        WITH sent AS (
            SELECT claim_id, job_id, outcome
            FROM unnest(claim_ids, job_ids, outcomes) AS sent (claim_id, job_id, outcome)
        ), batch AS (
            SELECT
                claim_id, array_agg(job_id) AS job_ids,
                array_agg(job_id) FILTER (WHERE outcome = 'finished') AS finished,
                array_agg(job_id) FILTER (WHERE outcome = 'released') AS released
            FROM sent
            GROUP BY claim_id
        ), emptied AS (
            DELETE FROM jobsd.claims AS claim
            USING batch
            WHERE claim.id = ANY (claim_ids)
                AND claim.id = batch.claim_id
                AND claim.job_ids @> batch.job_ids
                AND claim.job_ids <@ batch.job_ids
            RETURNING
                claim.id, false AS holds, claim.cancelled, batch.job_ids, batch.finished,
                -- A job that goes back as the last of its slot is ready itself.
                CASE
                    WHEN coalesce(batch.released, '{}') <@ coalesce(claim.cancelled, '{}')
                        THEN claim.concurrency_key
                END AS freed_key
        ), shrunk AS (
            UPDATE jobsd.claims AS claim
            SET job_ids = ARRAY(
                SELECT member.id
                FROM unnest(claim.job_ids) WITH ORDINALITY AS member (id, turn)
                WHERE (claim.id, member.id) NOT IN (SELECT claim_id, job_id FROM sent)
                ORDER BY member.turn
            )
            FROM batch
            WHERE claim.id = ANY (claim_ids)
                AND claim.id = batch.claim_id
                AND claim.job_ids @> batch.job_ids
                AND NOT claim.job_ids <@ batch.job_ids
            RETURNING
                claim.id, claim.concurrency_key IS NOT NULL AS holds, claim.cancelled,
                batch.job_ids, batch.finished, NULL::text AS freed_key
        ), claim AS (
            SELECT * FROM emptied
            UNION ALL
            SELECT * FROM shrunk
        ), stopped AS (
            SELECT claim.id AS claim_id, member.id AS job_id
            FROM claim
            CROSS JOIN LATERAL unnest(claim.cancelled) AS member (id)
            WHERE member.id = ANY (claim.job_ids)
                AND member.id <> ALL (coalesce(claim.finished, '{}'))
        )
        SELECT
            array_agg(id), array_agg(id) FILTER (WHERE holds),
            array_agg(freed_key) FILTER (WHERE freed_key IS NOT NULL),
            (SELECT array_agg(claim_id) FROM stopped), (SELECT array_agg(job_id) FROM stopped)
        INTO fenced, holding, freed, stopped_claims, stopped_jobs
        FROM claim;
    END IF;
    RETURN QUERY
        WITH sent AS (
            SELECT
                claim_id, job_id, wait_s, started_s, coalesce(ended_s, 0) AS ended_s, position,
                error::jsonb AS error, coalesce(outcome, 'discarded') AS outcome,
                (claim_id, job_id) IN (SELECT * FROM unnest(stopped_claims, stopped_jobs))
                    AS is_cancelled
            FROM unnest(
                claim_ids, job_ids, outcomes, waits_s, started_s, ended_s, errors, positions
            ) AS sent (claim_id, job_id, outcome, wait_s, started_s, ended_s, error, position)
            WHERE claim_id IS NULL OR claim_id = ANY (fenced)
        ), given AS MATERIALIZED (
            SELECT
                claim_id, job_id, wait_s, started_s, ended_s, position, error,
                CASE
                    WHEN is_cancelled OR outcome = 'expired' THEN 'discarded'
                    WHEN outcome = 'crashed' THEN (
                        SELECT
                            CASE
                                WHEN job.retries_crash AND job.attempts + 1 < job.max_attempts
                                    THEN 'retried'
                                ELSE 'failed'
                            END
                        FROM jobsd.jobs AS job
                        WHERE job.id = sent.job_id
                    )
                    ELSE outcome
                END AS outcome,
                CASE
                    WHEN is_cancelled THEN 'cancelled'
                    WHEN outcome = 'expired' THEN outcome
                    ELSE why
                END AS reason,
                is_cancelled OR outcome IN ('finished', 'discarded', 'expired') AS ends,
                outcome NOT IN ('released', 'parked') OR is_cancelled AS is_changed,
                ran.has_run,
                ran.has_run AND outcome <> 'snoozed' AS is_attempt
            FROM sent
            CROSS JOIN LATERAL (
                SELECT
                    outcome = 'finished'
                        OR claim_id IS NOT NULL
                            AND outcome NOT IN ('expired', 'set_aside', 'released', 'parked')
                        AS has_run
            ) AS ran
        ), erased AS (
            -- Ends: what waits for the end of a job is to be noted here.
            DELETE FROM jobsd.jobs AS job
            USING given
            WHERE job.id = ANY (job_ids)
                AND job.id = given.job_id
                AND given.ends
                AND NOT keep
            RETURNING
                job.id, job.class_name, job.queue_name,
                job.attempts + given.is_attempt::integer AS attempts, job.created_at,
                given.outcome
        ), forgotten AS (
            DELETE FROM jobsd.attempts
            WHERE job_id = ANY (ARRAY(SELECT id FROM erased)) AND NOT keep
        ), changed AS (
            -- Ends: as in `erased`, if the job is kept.
            UPDATE jobsd.jobs AS job
            SET attempts = job.attempts + given.is_attempt::integer,
                started_at = CASE
                    WHEN given.has_run
                        THEN coalesce(moment - make_interval(secs => given.started_s), job.started_at)
                    ELSE job.started_at
                END,
                finished_at = CASE
                    WHEN given.ends THEN moment - make_interval(secs => given.ended_s)
                END,
                outcome = CASE WHEN given.ends THEN given.outcome END,
                reason = coalesce(given.reason, job.reason),
                scheduled_at = CASE
                    WHEN given.outcome IN ('retried', 'snoozed', 'set_aside')
                        THEN moment + make_interval(
                            secs => coalesce(given.wait_s, jobsd.backoff_s(job.attempts + 1))
                        )
                    ELSE job.scheduled_at
                END,
                unique_until = CASE
                    WHEN given.outcome = 'set_aside' THEN job.unique_until
                    ELSE nullif(job.unique_until, 'started')
                END,
                set_aside_at = CASE
                    WHEN given.outcome = 'set_aside' THEN coalesce(job.set_aside_at, moment)
                    WHEN NOT given.has_run THEN job.set_aside_at
                END
            FROM given
            WHERE job.id = ANY (job_ids)
                AND job.id = given.job_id
                AND given.is_changed
                AND (keep OR NOT given.ends)
            RETURNING
                job.id, job.class_name, job.queue_name, job.priority, job.attempts,
                job.created_at, job.scheduled_at, job.concurrency_key, job.concurrency_limit,
                given.claim_id, given.outcome, given.started_s, given.ended_s, given.error,
                given.position
        ), begun AS (
            UPDATE jobsd.jobs
            SET unique_until = NULL
            WHERE id = ANY (ARRAY(
                    SELECT job_id FROM given WHERE NOT is_changed AND outcome = 'released'
                ))
                AND unique_until = 'started'
        ), placed AS (
            SELECT * FROM changed
            UNION ALL
            SELECT
                job.id, job.class_name, job.queue_name, job.priority, job.attempts,
                job.created_at, job.scheduled_at, job.concurrency_key, job.concurrency_limit,
                given.claim_id, given.outcome, given.started_s, given.ended_s, given.error,
                given.position
            FROM given
            JOIN jobsd.jobs AS job ON job.id = given.job_id
            WHERE job.id = ANY (job_ids) AND NOT given.is_changed
        ), attempt AS (
            INSERT INTO jobsd.attempts (job_id, attempt, process, started_at, ended_at, error)
            SELECT
                id, attempts, process, moment - make_interval(secs => started_s),
                moment - make_interval(secs => ended_s), error
            FROM changed
            WHERE error IS NOT NULL
            -- The attempt's log, by a chance in a million.
            ON CONFLICT (job_id, attempt, ended_at) DO UPDATE SET error = excluded.error
        ), failed AS (
            INSERT INTO jobsd.failed_executions (job_id, error, job_class, job_queue)
            SELECT id, error, class_name, queue_name
            FROM changed
            WHERE outcome = 'failed'
            ON CONFLICT (job_id) DO UPDATE
                SET error = excluded.error, failed_at = excluded.failed_at
        ), waiting AS (
            SELECT
                id,
                CASE WHEN outcome <> 'released' AND scheduled_at > moment THEN scheduled_at END
                    AS due,
                CASE
                    WHEN outcome <> 'released' THEN nextval('jobsd.jobs_id_seq')
                    WHEN concurrency_key IS NULL OR claim_id <> ALL (coalesce(holding, '{}'))
                        THEN id
                END AS position
            FROM placed
            WHERE outcome IN ('released', 'retried', 'snoozed', 'set_aside')
        ), parked AS (
            INSERT INTO jobsd.parked_executions (job_id, position, priority, queue_name, lane)
            SELECT id, position, priority, queue_name, jobsd.lane_of(class_name)
            FROM placed
            WHERE outcome = 'parked'
            ON CONFLICT (job_id) DO NOTHING -- put there by hand
        ), put_back AS (
            SELECT jobsd.place_jobs(array_agg(id), array_agg(due), array_agg(position))
            FROM waiting
            HAVING count(*) > 0
        ), woken AS (
            -- A worker that doesn't sleep would not check a lane by itself for minutes.
            SELECT pg_notify('jobsd.wake', payload)
            FROM (
                SELECT DISTINCT 'lane ' || queue_name || E'\n' || jobsd.lane_of(class_name) AS payload
                FROM placed
                WHERE outcome = 'parked'
            ) AS payloads
        ), kept AS (
            SELECT jobsd.keep_ends(array_agg(id), array_agg(class_name), array_agg(created_at))
            FROM erased
            WHERE outcome <> 'finished'
            HAVING count(*) > 0
        )
        SELECT
            given.claim_id, given.job_id, found.class_name, found.queue_name, found.attempts,
            found.created_at, given.outcome, given.reason, given.error
        FROM given
        LEFT JOIN (
            SELECT id, class_name, queue_name, attempts, created_at FROM placed
            UNION ALL
            SELECT id, class_name, queue_name, attempts, created_at FROM erased
        ) AS found ON found.id = given.job_id
        WHERE (SELECT count(*) FROM put_back) + (SELECT count(*) FROM woken)
            + (SELECT count(*) FROM kept) IS NOT NULL;
    -- By a statement of its own, which sees all that was blocked before.
    IF freed IS NOT NULL THEN
        PERFORM jobsd.hand_over(freed, met => job_ids);
    END IF;
END
$$;
