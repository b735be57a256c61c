-- How a worker claims limited jobs: it has met jobs of some keys, and wants their first jobs.

-- Lock and return the first waiting jobs of each key, as many as its depth: those that this worker
-- can start, whichever jobs of the key it has met. `slots` are those that it may take; a claim that
-- is given, whose slot this worker has, gets more jobs.
--
-- Jobs behind one that could not be locked, or that another worker has to start, stay. A job that
-- another worker has to start, but may start beside ours, is passed over: one of the free slots is
-- left for it. Of a key that is not `deep`, jobs are locked only if one waits. `gone` are locked
-- jobs that were deleted by hand; `unknown` is the first job, if it can't be started here.
--
-- Two of these expressions are never joined, which would look at each pair: our connections plan
-- without hash and merge joins.
CREATE FUNCTION jobsd.first_jobs(
    worker bigint, keys text[], claim_ids bigint[], depths integer[], deep boolean[],
    overdue text[], everything boolean, queues text[]
) RETURNS TABLE (
    rank bigint, key text, claim_id bigint, most integer, held integer, numbers integer[],
    slots bigint, job_ids bigint[], gone bigint[], unknown bigint
)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        WITH seen AS MATERIALIZED (
            SELECT
                wanted.rank, wanted.key, wanted.claim_id, taken.held, taken.numbers,
                waiting.place, waiting.job_id, waiting.number, waiting.first_most,
                waiting.first_most - taken.held AS free,
                wanted.is_deep OR waiting.jobs = 1 AS is_wanted,
                waiting.most <> waiting.first_most OR (
                    waiting.yields AND (
                        wanted.claim_id IS NOT NULL
                        OR waiting.number > waiting.first_most - taken.held
                    )
                ) AS is_barred
            FROM unnest(keys, claim_ids, depths, deep)
                WITH ORDINALITY AS wanted (key, claim_id, depth, is_deep, rank)
            CROSS JOIN LATERAL (
                SELECT count(*)::integer AS held, coalesce(array_agg(slot), '{}') AS numbers
                FROM jobsd.claims
                WHERE concurrency_key = wanted.key
            ) AS taken
            CROSS JOIN LATERAL (
                SELECT
                    *,
                    row_number() OVER whole AS number,
                    first_value(most) OVER whole AS first_most,
                    count(*) OVER whole AS jobs
                FROM (
                    SELECT
                        ctid AS place, job_id, priority, yields,
                        coalesce(concurrency_limit, (
                            SELECT job.concurrency_limit
                            FROM jobsd.jobs AS job
                            WHERE job.id = blocked.job_id
                        ), 1) AS most
                    FROM jobsd.blocked_executions AS blocked
                    WHERE concurrency_key = wanted.key
                        AND queue_name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
                    ORDER BY priority, job_id
                    LIMIT wanted.depth
                ) AS next
                WINDOW whole AS (
                    ORDER BY priority, job_id
                    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
                )
            ) AS waiting
        ), locked AS MATERIALIZED (
            SELECT ctid AS place
            FROM jobsd.blocked_executions
            WHERE ctid = ANY (ARRAY(SELECT place FROM seen WHERE is_wanted))
            FOR UPDATE SKIP LOCKED
        ), known AS MATERIALIZED (
            SELECT unnest(lanes) AS lane FROM jobsd.worker_classes WHERE process_id = worker
            UNION ALL
            SELECT unnest(overdue)
        ), found AS MATERIALIZED (
            SELECT
                id,
                (jobsd.lane_of(class_name) IN (SELECT lane FROM known)) IS TRUE
                    AND (everything OR jobsd.serves(queues, queue_name)) AS is_ours
            FROM jobsd.jobs
            WHERE id = ANY (ARRAY(SELECT job_id FROM seen))
        ), judged AS MATERIALIZED (
            SELECT *, NOT is_ours AND claim_id IS NULL AND number <= free AS is_passed
            FROM (
                SELECT
                    *,
                    (place IN (SELECT place FROM locked)) IS TRUE AS is_locked,
                    (job_id IN (SELECT id FROM found WHERE NOT is_ours)) IS NOT TRUE AS is_ours,
                    (job_id IN (SELECT id FROM found)) IS NOT TRUE AS is_gone
                FROM seen
                OFFSET 0 -- Each job is looked up once, not for each use of the result.
            ) AS seen
        ), of_key AS (
            -- Jobs of a key at `bound` or behind it stay. All columns except the jobs are equal in
            -- all rows.
            SELECT
                rank, min(key) AS key, min(claim_id) AS claim_id, min(first_most) AS most,
                min(held) AS held, min(numbers) AS numbers,
                min(free) - count(*) FILTER (WHERE is_passed) AS slots,
                min(number) FILTER (
                    WHERE is_barred OR NOT (is_locked AND (is_ours OR is_passed))
                ) AS bound,
                array_agg(CASE WHEN NOT (is_passed OR is_gone) THEN job_id END ORDER BY number)
                    AS job_ids,
                array_agg(job_id) FILTER (WHERE is_gone AND is_locked) AS gone,
                min(job_id) FILTER (WHERE number = 1 AND NOT is_ours) AS unknown
            FROM judged
            GROUP BY rank
        )
        SELECT
            rank, key, claim_id, most, held, numbers, slots,
            array_remove(job_ids[:coalesce(bound - 1, cardinality(job_ids))], NULL), gone, unknown
        FROM of_key;
END
$$;

-- Take slots of keys, and claim a series of each: the first jobs of the key (see `first_jobs`).
-- Claims of this worker that are given get more jobs, if they still have as many as their size:
-- nobody else has changed them. `most_jobs` bounds the claim, `threads` the slots of one key.
--
-- Of two workers that want a slot of one key at the same time, the second finds no first jobs that
-- it can lock, or sees the slot of the first, or is refused by the unique index of slots. The
-- insert of a slot may have to wait for a session that just deletes it, and meanwhile holds no row
-- of a claim, for which others would wait.
--
-- The first row has the keys that were not to be had (full, or their first job is unknown here) and
-- the queues and classes of unknown jobs, as JSON. The jobs follow in the order in which they
-- start, with the limit of their key. Beyond `budget` bytes in all, the arguments of a job are left
-- out where they have more than `share`.
CREATE FUNCTION jobsd.claim_series(
    worker bigint, keys text[], claim_ids bigint[], sizes integer[], depths integer[],
    deep boolean[], most_jobs bigint, threads bigint, drawn bigint, overdue text[],
    everything boolean, queues text[], asked_at float8, share integer, budget bigint
) RETURNS TABLE (
    claim_id bigint, job_id bigint, class_name text, arguments text, queue_name text,
    attempts integer, max_attempts integer, wait_s float8, concurrency_key text, priority integer,
    most bigint, context text, expires_at float8, set_aside_s float8, created_us bigint
)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    claimed bigint[];
    claimed_jobs bigint[];
    gone_jobs bigint[];
    facts text;
BEGIN
    WITH first AS MATERIALIZED (
        SELECT *
        FROM jobsd.first_jobs(
            worker, keys, claim_ids, depths, deep, overdue, everything, queues
        )
    ), chosen AS (
        SELECT
            *,
            CASE WHEN claim_id IS NULL THEN least(slots, threads, jobs) ELSE 1 END AS series_all
        FROM (
            SELECT *, least(cardinality(job_ids), most_jobs - before) AS jobs
            FROM (
                SELECT
                    *,
                    sum(cardinality(job_ids)) OVER (ORDER BY rank ROWS UNBOUNDED PRECEDING)
                        - cardinality(job_ids) AS before
                FROM first
                WHERE slots > 0 OR claim_id IS NOT NULL
            ) AS ordered
        ) AS counted
        WHERE jobs > 0
    ), placed AS MATERIALIZED (
        -- Several slots get the next jobs in turn.
        SELECT
            rank, series, key, claim_id,
            coalesce(claim_id, jobsd.further_id(drawn, rank << 20 | series)) AS in_claim,
            CASE
                WHEN held = 0 THEN series
                ELSE (
                    SELECT slot
                    FROM generate_series(1, least(most, held + series)) AS slot
                    WHERE slot <> ALL (numbers)
                    ORDER BY slot
                    LIMIT 1
                    OFFSET series - 1
                )
            END AS slot,
            CASE
                WHEN series_all = 1 THEN job_ids[:jobs]
                ELSE ARRAY(
                    SELECT job_ids[number]
                    FROM generate_series(series, jobs, series_all) AS number
                    ORDER BY number
                )
            END AS job_ids
        FROM (SELECT *, generate_series(1, series_all) AS series FROM chosen) AS chosen
    ), made AS (
        INSERT INTO jobsd.claims (id, process_id, concurrency_key, slot, job_ids)
        SELECT in_claim, worker, key, slot, job_ids
        FROM placed
        WHERE claim_id IS NULL AND slot IS NOT NULL
        ORDER BY key, slot
        ON CONFLICT (concurrency_key, slot) WHERE concurrency_key IS NOT NULL DO NOTHING
        RETURNING id
    ), extended AS (
        UPDATE jobsd.claims AS claim
        SET job_ids = claim.job_ids || placed.job_ids
        FROM placed
        WHERE claim.id = ANY (claim_ids)
            AND claim.id = placed.claim_id
            AND cardinality(claim.job_ids) = sizes[placed.rank]
        RETURNING claim.id
    ), held AS (
        SELECT placed.in_claim, member.job_id, placed.rank, placed.series, member.turn
        FROM placed
        CROSS JOIN LATERAL unnest(placed.job_ids) WITH ORDINALITY AS member (job_id, turn)
        WHERE (in_claim IN (SELECT id FROM made UNION ALL SELECT id FROM extended)) IS TRUE
    )
    SELECT
        array_agg(in_claim ORDER BY rank, series, turn),
        array_agg(job_id ORDER BY rank, series, turn),
        (SELECT array_agg(member.id) FROM first CROSS JOIN LATERAL unnest(gone) AS member (id)),
        json_build_object(
            'shut', (SELECT json_agg(key) FROM first WHERE most <= held OR unknown IS NOT NULL),
            'unknown', (
                SELECT json_agg(DISTINCT jsonb_build_array(job.queue_name, job.class_name))
                FROM jobsd.jobs AS job
                WHERE job.id = ANY (ARRAY(SELECT unknown FROM first WHERE unknown IS NOT NULL))
            )
        )::text
    INTO claimed, claimed_jobs, gone_jobs, facts
    FROM held;
    -- In statements of their own, which see all jobs that were locked.
    DELETE FROM jobsd.blocked_executions WHERE job_id = ANY (claimed_jobs || gone_jobs);
    job_id := NULL;
    context := facts;
    RETURN NEXT;
    RETURN QUERY
        SELECT
            taken.claim_id, job.id, job.class_name,
            CASE
                WHEN pg_column_size(job.arguments) <= share
                    OR sum(pg_column_size(job.arguments)) OVER () <= budget
                    THEN job.arguments::text
                ELSE ''
            END,
            job.queue_name, job.attempts, job.max_attempts,
            asked_at - date_part('epoch', now() - coalesce(job.scheduled_at, job.created_at)),
            job.concurrency_key, job.priority, coalesce(job.concurrency_limit, 1)::bigint,
            job.context::text,
            CASE WHEN job.expires_in IS NOT NULL THEN (
                SELECT asked_at + extract(epoch FROM expiration.expires_at - now())::float8
                FROM jobsd.expirations AS expiration
                WHERE expiration.job_id = job.id
            ) END,
            date_part('epoch', now() - job.set_aside_at),
            (date_part('epoch', job.created_at) * 1000000)::bigint
        FROM unnest(claimed, claimed_jobs) WITH ORDINALITY AS taken (claim_id, job_id, turn)
        CROSS JOIN LATERAL (
            -- OFFSET 0: without it, a plan that was made on an empty table reads all jobs.
            SELECT * FROM jobsd.jobs WHERE id = taken.job_id OFFSET 0
        ) AS job
        ORDER BY taken.turn;
END
$$;
