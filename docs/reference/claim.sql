-- Made by tests/docs/claim_page.py of the statements in src/jobsd/states.
--
-- The three statements that workers send most, as the server gets them. Paste this file into
-- psql, in a database with the tables of a queue: it runs each of them in a transaction that is
-- rolled back. A worker prepares them, and sends each in a transaction of its own.
--
-- A statement of a worker records jobs that have ended, or claims jobs, or does both with one
-- round trip and one commit.

\set process_id '1'
\set claim_id '5000000000000000'
\set limit '4'
\set asked_at '0'
\set foreign '{}'
\set share '500000'
\set budget '2000000'
\set after_priorities '{-2147483648}'
\set after_positions '{0}'
\set below_priorities '{2147483648}'
\set below_positions '{0}'
\set lock_wait '500ms'
\set claim_ids '{1}'
\set job_ids '{1}'
\set started_us '{1500}'
\set ended_us '{500}'
\set batch_ids '{1}'
\set held '{1}'
\set remaining '{0}'


-- 1. Claim the first jobs of all queues. A worker that rests sends this once it hears of a job.

BEGIN;

-- take_first: begin a claim of few jobs: take the first ones of all queues that are not paused, from
-- the head of the index: without a bound, the server sets up a quarter less. Nothing is recorded by
-- the same statement. Jobs of queues and classes that are `foreign` are left to a worker that knows them.
WITH taken AS (
    DELETE FROM jobsd.ready_executions
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM jobsd.ready_executions AS ready
        WHERE queue_name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
            AND (cardinality(:'foreign'::text[]) = 0 OR (
                SELECT queue_name || E'\n' || class_name <> ALL (:'foreign'::text[])
                FROM jobsd.jobs
                WHERE id = ready.job_id
            ) IS NOT FALSE)
        ORDER BY priority, position
        LIMIT :'limit'
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING job_id, priority, position
),

-- hold_few: claim the few jobs that were taken, and return them, in no order. A job without a class
-- was deleted. For a single job, the setup of the statement is half of the server's work. So this
-- leaves out the id that the server draws, the aggregate, the search for expirations and all other
-- parts that most of these claims don't use, or sets them up only on use.
claim AS (
    INSERT INTO jobsd.claims (id, process_id, job_ids)
    SELECT
        :'claim_id', :'process_id',
        ARRAY(SELECT job_id FROM taken ORDER BY priority, position)
    WHERE EXISTS (SELECT FROM taken)
)
SELECT
    taken.job_id, job.class_name, job.arguments::text, job.queue_name, job.attempts,
    job.max_attempts,
    :'asked_at' - date_part('epoch', now() - coalesce(job.scheduled_at, job.created_at)),
    job.concurrency_key, taken.priority, taken.position, job.context::text,
    CASE WHEN job.expires_in IS NOT NULL THEN
        :'asked_at' + jobsd.expires_in_s(taken.job_id)
    END,
    date_part('epoch', now() - job.set_aside_at),
    (date_part('epoch', job.created_at) * 1000000)::bigint
FROM taken
LEFT JOIN LATERAL (
    -- OFFSET 0: without it, a plan that was made on an empty table reads all jobs. Each column
    -- that is named here is set up three times.
    SELECT
        class_name, arguments, queue_name, attempts, max_attempts, scheduled_at, created_at,
        concurrency_key, context, expires_in, set_aside_at
    FROM jobsd.jobs
    WHERE id = taken.job_id
    OFFSET 0
) AS job ON true;

ROLLBACK;


-- 2. Record jobs that have ended. A worker that has nothing more to do sends this.

BEGIN;

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
    SELECT set_config('lock_timeout', :'lock_wait', true)
), done AS (
    SELECT claim_id, job_id, started_us, ended_us
    FROM unnest(
        :'claim_ids'::bigint[], :'job_ids'::bigint[],
        :'started_us'::bigint[], :'ended_us'::bigint[]
    ) AS ended (claim_id, job_id, started_us, ended_us)
), batch AS (
    SELECT claim_id, held, remaining
    FROM bounded
    CROSS JOIN unnest(:'batch_ids'::bigint[], :'held'::integer[], :'remaining'::integer[])
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
),

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
),

-- no_claim: end a turn that claims nothing.
unused AS (SELECT)
SELECT NULL::bigint, 0, (SELECT string_agg(id::text, ',') FROM fenced);

ROLLBACK;


-- 3. Record jobs that have ended, and claim the next ones. A worker with a backlog sends this.

BEGIN;

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
    SELECT set_config('lock_timeout', :'lock_wait', true)
), done AS (
    SELECT claim_id, job_id, started_us, ended_us
    FROM unnest(
        :'claim_ids'::bigint[], :'job_ids'::bigint[],
        :'started_us'::bigint[], :'ended_us'::bigint[]
    ) AS ended (claim_id, job_id, started_us, ended_us)
), batch AS (
    SELECT claim_id, held, remaining
    FROM bounded
    CROSS JOIN unnest(:'batch_ids'::bigint[], :'held'::integer[], :'remaining'::integer[])
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
),

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
),

-- pick_any: pick the most urgent jobs of all queues that are not paused. Continues the
-- expressions of claims.sql; rows that another worker has locked are skipped. Each segment
-- of the index begins after the position that this worker has claimed last (see worker/cursor),
-- so that dead rows before it are not walked over again.
segment AS (
    SELECT after_priority, after_position, below_priority, below_position
    FROM unnest(
        :'after_priorities'::integer[], :'after_positions'::bigint[],
        :'below_priorities'::bigint[], :'below_positions'::bigint[]
    ) AS segment (after_priority, after_position, below_priority, below_position)
), picked AS (
    SELECT waiting.*, 0::bigint AS turn
    FROM segment
    CROSS JOIN LATERAL (
        SELECT ctid AS place, job_id, priority, position
        FROM jobsd.ready_executions
        WHERE (priority, position) > (segment.after_priority, segment.after_position)
            AND (priority, position) < (segment.below_priority, segment.below_position)
            AND queue_name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
        ORDER BY priority, position
        LIMIT :'limit'
        FOR UPDATE SKIP LOCKED
    ) AS waiting
    LIMIT :'limit'
),

-- take: take the picked jobs. Rows are deleted by the ctid at which they were locked: by their ids,
-- a plan made on an empty table read 27 times as many pages. A row that another session has just
-- changed has a new ctid that this snapshot does not show: it stays.
taken AS (
    DELETE FROM jobsd.ready_executions
    WHERE ctid = ANY (ARRAY(SELECT place FROM picked))
    RETURNING job_id
),

-- hold: claim the taken jobs. The first row of the answer has the id of the claim, the number of
-- its jobs, the order in which they start if it is not that of their ids, and the claims whose
-- successes were recorded (as text, which the driver does not parse). Only deleted rows are
-- claimed. (IS TRUE: looked up in a hash.) If the stored arguments of all jobs exceed `budget`,
-- arguments above `share` are left out: no process could bear 500 of 1 MB. (The sum is computed
-- only if there are arguments above `share`; the size of out-of-line values is known without
-- reading them.)
held AS (
    SELECT * FROM picked WHERE (job_id IN (SELECT job_id FROM taken)) IS TRUE
), claim AS (
    INSERT INTO jobsd.claims (id, process_id, job_ids)
    SELECT :'claim_id', :'process_id', array_agg(job_id ORDER BY turn, priority, position)
    FROM held
    HAVING count(*) > 0
    RETURNING id
), answered AS (
    SELECT
        (SELECT id FROM claim) AS claim_id,
        whole.size,
        CASE WHEN NOT whole.by_id THEN (
            SELECT string_agg(
                concat_ws(' ', job_id, priority, position), ','
                ORDER BY turn, priority, position
            )
            FROM held
        ) END AS places,
        (SELECT string_agg(id::text, ',') FROM fenced) AS recorded
    FROM (
        SELECT
            count(*) AS size,
            bool_and(
                position = job_id
                AND priority = (SELECT priority FROM held LIMIT 1)
                AND turn = (SELECT turn FROM held LIMIT 1)
            ) AS by_id
        FROM held
    ) AS whole
)

-- jobs: end a claim: return the answer, and behind it the jobs, in the order of their ids. All jobs
-- are found by one search of the index: a search for each would be a tenth of the server's work.
SELECT
    claim_id, size, recorded, places, NULL, NULL::integer, NULL::integer, NULL::float8,
    NULL::text, NULL::integer, NULL::bigint, NULL::text, NULL::float8, NULL::float8, NULL::bigint
FROM answered
UNION ALL
(
    SELECT
        (SELECT id FROM claim),
        job.id, job.class_name,
        CASE
            WHEN pg_column_size(job.arguments) <= :'share' OR (
                SELECT sum(pg_column_size(every.arguments))
                FROM jobsd.jobs AS every
                WHERE every.id = ANY (ARRAY(SELECT job_id FROM held))
            ) <= :'budget'
                THEN job.arguments::text
            ELSE ''
        END,
        job.queue_name, job.attempts, job.max_attempts,
        :'asked_at' - date_part('epoch', now() - coalesce(job.scheduled_at, job.created_at)),
        job.concurrency_key, (SELECT priority FROM held LIMIT 1), job.id, job.context::text,
        -- Behind the columns that most jobs have: only jobs that expire have this row.
        CASE WHEN job.expires_in IS NOT NULL THEN (
            SELECT :'asked_at' + date_part('epoch', expiration.expires_at - now())
            FROM jobsd.expirations AS expiration
            WHERE expiration.job_id = job.id
        ) END,
        date_part('epoch', now() - job.set_aside_at),
        (date_part('epoch', job.created_at) * 1000000)::bigint
    FROM jobsd.jobs AS job
    WHERE job.id = ANY (ARRAY(SELECT job_id FROM held))
    ORDER BY job.id
);

ROLLBACK;
