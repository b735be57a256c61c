-- nothing: begin a turn in which no success is to be recorded.
WITH fenced AS (
    SELECT NULL::bigint AS id WHERE false
);

-- record: begin a turn by recording plain successes, fenced by their claims. A claim row only ever
-- loses ids; so as long as it has as many as its worker believes, it is whole. (Comparing the ids
-- themselves, `@>`, is quadratic.) A claim loses what has ended in it, and not what has the same
-- id and ended in another: that one may be fenced out. The condition is checked again on the
-- newest version of a row that someone else has just changed. A row that somebody holds locked is
-- waited for for `lock_wait`: said here, since what is said once stays for others behind a pooler,
-- and read before the first row is locked. Whoever sends this hands over the slots that go with
-- the claims, in the statement behind. All jobs are found by one search of the index, in the order
-- of their ids; the times of each stand in arrays of the same order, in which its place is found
-- by halving.
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
);

-- shrink: the same of claims of which jobs remain.
shrunk AS (
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
);

-- whole: go on where no job remains of any claim.
fenced AS (SELECT id FROM emptied);

-- succeed: find the jobs of the claims that let them be recorded.
success AS MATERIALIZED (
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

-- singles: begin a turn by recording successes of claims that had one job each: no claim has to be
-- found for a job, or a job for a claim. Fenced like `record`: a claim goes if the one job that is
-- left of it is among those that are recorded. These are in the order of their ids.
WITH bounded AS MATERIALIZED (
    SELECT set_config('lock_timeout', %(lock_wait)s, true)
), emptied AS (
    DELETE FROM jobsd.claims
    WHERE id = ANY ((SELECT %(batch_ids)s::bigint[] FROM bounded)::bigint[])
        AND cardinality(job_ids) = 1
        AND job_ids[1] = (%(job_ids)s::bigint[])[
            width_bucket(job_ids[1], %(job_ids)s::bigint[])
        ]
    RETURNING id, job_ids[1] AS job_id
), fenced AS (
    SELECT id FROM emptied
), success AS MATERIALIZED (
    SELECT
        %(job_ids)s::bigint[] AS ids,
        %(started_us)s::bigint[] AS started_us,
        %(ended_us)s::bigint[] AS ended_us
    WHERE (SELECT count(*) FROM emptied) = cardinality(%(job_ids)s::bigint[])
    UNION ALL
    SELECT
        array_agg(job_id ORDER BY job_id),
        array_agg(started_us ORDER BY job_id),
        array_agg(ended_us ORDER BY job_id)
    FROM unnest(%(job_ids)s::bigint[], %(started_us)s::bigint[], %(ended_us)s::bigint[])
        AS ended (job_id, started_us, ended_us)
    WHERE (job_id IN (SELECT job_id FROM emptied)) IS TRUE
    HAVING (SELECT count(*) FROM emptied) <> cardinality(%(job_ids)s::bigint[])
);

-- no_claim: end a turn in which nothing is to be claimed.
unused AS (SELECT)
SELECT NULL::bigint, 0, (SELECT string_agg(id::text, ',') FROM fenced);

-- conclude: record what became of jobs that did not just succeed (failed, retried, discarded,
-- expired, snoozed, set aside, released, parked). Fenced like successes, by the ids themselves.
-- Only a released job keeps its place in the queue, which is its id, and a parked one, which is
-- given, in the lane of its class. A limited job waits for a slot anew: it is blocked as long as
-- the claim that it leaves holds its key's. Whoever sends this hands over the slots of claims that
-- go, in the next statement. A lock is waited for as by `record`. A job that was cancelled
-- meanwhile is discarded, whatever it was to become but finished: its claim says so, in the newest
-- version of its row. Says of which jobs that is so. Where one was to be released as the last of
-- its slot, it hands over here: else who releases does not.
WITH bounded AS MATERIALIZED (
    SELECT set_config('lock_timeout', %(lock_wait)s, true)
), sent AS (
    SELECT
        claim_id, job_id, outcome, wait_s, started_s, ended_s, error::jsonb AS error, position
    FROM unnest(
        %(claim_ids)s::bigint[], %(job_ids)s::bigint[], %(outcomes)s::text[],
        %(wait_s)s::float8[], %(started_s)s::float8[], %(ended_s)s::float8[],
        %(errors)s::text[], %(positions)s::bigint[]
    ) AS sent (claim_id, job_id, outcome, wait_s, started_s, ended_s, error, position)
), batch AS (
    SELECT claim_id, array_agg(job_id) AS job_ids
    FROM bounded
    CROSS JOIN sent
    GROUP BY claim_id
), emptied AS (
    DELETE FROM jobsd.claims AS claim
    USING batch
    WHERE claim.id = batch.claim_id
        AND claim.job_ids @> batch.job_ids
        AND claim.job_ids <@ batch.job_ids
    RETURNING
        claim.id, false AS holds, claim.cancelled, claim.concurrency_key AS freed_key
), shrunk AS (
    UPDATE jobsd.claims AS claim
    SET job_ids = ARRAY(
        SELECT member.id
        FROM unnest(claim.job_ids) WITH ORDINALITY AS member (id, turn)
        WHERE (claim.id, member.id) NOT IN (SELECT claim_id, job_id FROM sent)
        ORDER BY member.turn
    )
    FROM batch
    WHERE claim.id = batch.claim_id
        AND claim.job_ids @> batch.job_ids
        AND NOT claim.job_ids <@ batch.job_ids
    RETURNING
        claim.id, claim.concurrency_key IS NOT NULL AS holds, claim.cancelled,
        NULL::text AS freed_key
), fenced AS (
    SELECT * FROM emptied
    UNION ALL
    SELECT * FROM shrunk
), given AS (
    SELECT
        claim_id, job_id, wait_s, started_s, ended_s, error, position, is_cancelled, freed_key,
        CASE WHEN is_cancelled THEN 'discarded' ELSE outcome END AS outcome,
        outcome NOT IN ('expired', 'set_aside', 'released', 'parked') AS has_run,
        outcome NOT IN ('expired', 'snoozed', 'set_aside', 'released', 'parked') AS is_attempt
    FROM (
        SELECT
            sent.*,
            fenced.freed_key,
            (sent.outcome <> 'finished' AND sent.job_id = ANY (fenced.cancelled)) IS TRUE
                AS is_cancelled
        FROM sent
        JOIN fenced ON fenced.id = sent.claim_id
    ) AS known
), erased AS (
    DELETE FROM jobsd.jobs AS job
    USING given
    WHERE job.id = given.job_id
        AND given.outcome IN ('finished', 'discarded', 'expired')
        AND NOT %(keep)s
    RETURNING job.id, job.class_name, job.created_at, given.outcome
), forgotten AS (
    DELETE FROM jobsd.attempts
    WHERE job_id = ANY (ARRAY(SELECT id FROM erased)) AND NOT %(keep)s
), job AS (
    UPDATE jobsd.jobs AS job
    SET attempts = job.attempts + given.is_attempt::integer,
        started_at = CASE
            WHEN given.has_run THEN now() - make_interval(secs => given.started_s)
            ELSE job.started_at
        END,
        finished_at = CASE
            WHEN given.outcome IN ('finished', 'discarded', 'expired')
                THEN now() - make_interval(secs => given.ended_s)
        END,
        outcome = CASE
            WHEN given.outcome IN ('finished', 'discarded') THEN given.outcome
            WHEN given.outcome = 'expired' THEN 'discarded'
        END,
        reason = CASE
            WHEN given.is_cancelled THEN 'cancelled'
            WHEN given.outcome = 'expired' THEN 'expired'
            ELSE job.reason
        END,
        scheduled_at = CASE
            WHEN given.outcome IN ('retried', 'snoozed', 'set_aside')
                THEN now() + make_interval(secs => given.wait_s)
            ELSE job.scheduled_at
        END,
        unique_until = CASE
            WHEN job.unique_until = 'started' AND given.outcome NOT IN ('set_aside', 'parked')
                THEN NULL
            ELSE job.unique_until
        END,
        set_aside_at = CASE
            WHEN given.outcome = 'set_aside' THEN coalesce(job.set_aside_at, now())
            WHEN NOT given.has_run THEN job.set_aside_at
        END
    FROM given
    WHERE job.id = given.job_id
        AND (given.outcome NOT IN ('finished', 'discarded', 'expired') OR %(keep)s)
    RETURNING
        job.id, job.class_name, job.queue_name, job.priority, job.attempts, job.scheduled_at,
        job.concurrency_key, job.concurrency_limit,
        given.outcome, given.wait_s, given.started_s, given.ended_s, given.error,
        given.position, given.claim_id
), attempt AS (
    INSERT INTO jobsd.attempts (job_id, attempt, process, started_at, ended_at, error)
    SELECT
        id, attempts, %(process)s, now() - make_interval(secs => started_s),
        now() - make_interval(secs => ended_s), error
    FROM job
    WHERE error IS NOT NULL
    -- The attempt's log, by a chance in a million.
    ON CONFLICT (job_id, attempt, ended_at) DO UPDATE SET error = excluded.error
), failed AS (
    INSERT INTO jobsd.failed_executions (job_id, error, job_class, job_queue)
    SELECT id, error, class_name, queue_name
    FROM job
    WHERE outcome = 'failed'
    ON CONFLICT (job_id) DO UPDATE SET error = excluded.error, failed_at = excluded.failed_at
), scheduled AS (
    INSERT INTO jobsd.scheduled_executions (
        job_id, scheduled_at, priority, queue_name, concurrency_key
    )
    SELECT id, scheduled_at, priority, queue_name, concurrency_key
    FROM job
    WHERE outcome IN ('retried', 'snoozed', 'set_aside') AND wait_s > 0
    ON CONFLICT (job_id) DO NOTHING -- put there by somebody's hand
), ready AS (
    INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
    SELECT
        id,
        CASE
            WHEN outcome = 'released' THEN id
            ELSE nextval('jobsd.jobs_id_seq')
        END,
        priority, queue_name
    FROM job
    WHERE concurrency_key IS NULL
        AND (outcome = 'released' OR (outcome IN ('retried', 'snoozed') AND wait_s <= 0))
    ON CONFLICT (job_id) DO NOTHING -- put there by somebody's hand
), limited AS (
    INSERT INTO jobsd.blocked_executions (
        job_id, position, priority, queue_name, concurrency_key, concurrency_limit
    )
    SELECT
        id,
        CASE
            WHEN outcome <> 'released' THEN nextval('jobsd.jobs_id_seq')
            WHEN claim_id NOT IN (SELECT fenced.id FROM fenced WHERE holds) THEN id
        END,
        priority, queue_name, concurrency_key, concurrency_limit
    FROM job
    WHERE concurrency_key IS NOT NULL
        AND (outcome = 'released' OR (outcome IN ('retried', 'snoozed') AND wait_s <= 0))
    ON CONFLICT (job_id) DO NOTHING -- put there by somebody's hand
), parked AS (
    INSERT INTO jobsd.parked_executions (job_id, position, priority, queue_name, lane)
    SELECT id, position, priority, queue_name, jobsd.lane_of(class_name)
    FROM job
    WHERE outcome = 'parked'
    ON CONFLICT (job_id) DO NOTHING -- put there by somebody's hand
)
SELECT
    ARRAY(SELECT id FROM fenced),
    ARRAY(SELECT ARRAY[job_id, claim_id] FROM given WHERE is_cancelled),
    (
        SELECT CASE WHEN count(*) > 0 THEN jobsd.hand_over(array_agg(freed_key)) END
        FROM (
            SELECT freed_key
            FROM given
            WHERE freed_key IS NOT NULL
            GROUP BY claim_id, freed_key
            HAVING bool_or(is_cancelled AND NOT has_run)
                AND NOT bool_or(outcome = 'released')
        ) AS freed
    ),
    (
        SELECT count(pg_notify(
            CASE payload WHEN 'due' THEN 'jobsd.due' ELSE 'jobsd.wake' END, payload
        ))
        FROM (
            SELECT DISTINCT
                CASE
                    WHEN outcome = 'parked'
                        THEN 'lane ' || queue_name || E'\n' || jobsd.lane_of(class_name)
                    WHEN outcome <> 'released' AND wait_s > 0 THEN 'due'
                    WHEN concurrency_key IS NULL THEN 'ready ' || queue_name
                    ELSE 'limited ' || queue_name
                END AS payload
            FROM job
            WHERE outcome IN ('released', 'retried', 'snoozed', 'set_aside', 'parked')
        ) AS woken
        -- A worker that doesn't sleep would not look into a lane by itself for minutes.
        WHERE payload LIKE 'lane %%' OR EXISTS (SELECT FROM jobsd.sleepers)
    ),
    (
        SELECT jobsd.keep_ends(array_agg(id), array_agg(class_name), array_agg(created_at))
        FROM erased
        WHERE outcome <> 'finished'
        HAVING count(*) > 0
    );

-- own: read back the claims of one process.
SELECT id, job_ids, moved_from, completed
FROM jobsd.claims
WHERE process_id = %(process_id)s
ORDER BY id
LIMIT 10000;

-- locked: say which of these jobs can't be written now, since somebody holds a row of theirs
-- or of their claim locked. Waits for nobody, and lets go at once of what it has locked itself.
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

-- cancelled: say which jobs of a process are to stop, and which of these at any price.
SELECT member.id, claim.id, (member.id = ANY (claim.forced)) IS TRUE
FROM jobsd.claims AS claim
CROSS JOIN LATERAL unnest(claim.cancelled) AS member (id)
WHERE claim.process_id = %(process_id)s AND claim.cancelled IS NOT NULL
ORDER BY claim.id, member.id
LIMIT 10000;
