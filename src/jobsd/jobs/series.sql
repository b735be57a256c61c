-- any: say whether any limited job is ready.
SELECT EXISTS (SELECT FROM jobsd.blocked_executions WHERE position IS NOT NULL);

-- claim: take slots of the keys that were met, and claim a series of each: the first jobs of the
-- key, whichever of them were met, that this worker can start. Slots that it has taken before, of
-- whose series few jobs are left, get more jobs (`claims`, `keys`, `sizes`, `rooms`).
--
-- Invariant: of a key the first jobs are locked, and what comes behind one that was not got, or
-- that another worker has to start, stays. So of two who want a slot of one key at the same time
-- the second gets none, or sees the first one's slot; else the unique index of slots refuses. Who
-- inserts a slot may have to wait for whoever just deletes it, and holds nothing meanwhile for
-- which others wait: rows of claims are locked (`guard`) only behind all of that.
--
-- Of many keys for which several jobs wait only some are taken (`deep`): their series are longer,
-- and other workers have some, too. Of the others those are taken for which one job waits, but
-- where these don't count (`singles`). Jobs that were met and whose key is full are blocked,
-- `aside_max` in all, unless their turn comes here within a moment (`flowing`); those that may not
-- wait are dropped.
--
-- The first row says what else was done. Behind it comes each job with its claim, its place in the
-- order of its series, and the limit of its key. No join of two of these expressions, which would
-- look at each pair: our connections plan without hash and merge joins.
key AS MATERIALIZED (
    SELECT
        key, min(place_met) AS place_met, coalesce(max(most), 1) AS most,
        count(*) FILTER (WHERE most IS NULL) > 0 AS most_unknown, min(job_id) AS job_id
    FROM (SELECT *, row_number() OVER (ORDER BY turn, priority, position) AS place_met FROM met)
        AS met
    GROUP BY key
), counted AS MATERIALIZED (
    SELECT
        key.key, key.place_met, taken.held, taken.numbers,
        CASE
            WHEN key.most_unknown THEN greatest(key.most, (
                SELECT job.concurrency_limit FROM jobsd.jobs AS job WHERE job.id = key.job_id
            ))
            ELSE key.most
        END AS most,
        (key.key IN (SELECT unnest(%(keys)s::text[]))) IS TRUE AS is_extended,
        (key.key IN (SELECT unnest(%(flowing)s::text[]))) IS TRUE AS is_flowing
    FROM key
    CROSS JOIN LATERAL (
        SELECT count(*)::integer AS held, coalesce(array_agg(slot), '{}') AS numbers
        FROM jobsd.claims
        WHERE concurrency_key = key.key
    ) AS taken
), wanted AS MATERIALIZED (
    SELECT
        key, place_met, held, numbers, NULL::bigint AS claim_id, NULL::integer AS size,
        rank <= %(deep)s::bigint AS is_deep,
        CASE
            WHEN rank > %(deep)s::bigint THEN 2
            ELSE least(most - held, %(threads)s::bigint)
                * greatest(1, least(%(long)s::bigint, %(limit)s::bigint / greatest(1, least(keys, %(deep)s::bigint))))
        END AS jobs
    FROM (
        SELECT *, row_number() OVER (ORDER BY place_met) AS rank, count(*) OVER () AS keys
        FROM counted
        WHERE held < most AND NOT is_extended
    ) AS open
    WHERE rank <= %(deep)s::bigint OR %(singles)s::boolean
    UNION ALL
    SELECT key, 0, 0, '{}', claim_id, size, true, room
    FROM unnest(
        %(claims)s::bigint[], %(keys)s::text[], %(sizes)s::integer[], %(rooms)s::integer[]
    ) AS further (claim_id, key, size, room)
), seen AS MATERIALIZED (
    SELECT
        wanted.key, wanted.place_met, wanted.held, wanted.numbers,
        wanted.claim_id, wanted.size, wanted.is_deep,
        waiting.place, waiting.job_id, waiting.priority, waiting.yields,
        coalesce(waiting.most, job.concurrency_limit, 1) AS most,
        job.class_name, job.queue_name, job.attempts, job.max_attempts,
        coalesce(job.scheduled_at, job.created_at) AS due_at,
        job.arguments, pg_column_size(job.arguments) AS weight,
        job.context, job.expires_in IS NOT NULL AS expires,
        job.id IS NULL AS is_gone,
        job.id IS NULL OR (
            (jobsd.lane_of(job.class_name) IN (SELECT lane FROM known)) IS TRUE
            AND (%(everything)s::boolean OR jobsd.serves(%(queues)s::text[], job.queue_name))
        ) AS is_ours,
        row_number() OVER in_order AS number,
        first_value(coalesce(waiting.most, job.concurrency_limit, 1)) OVER in_order
            - wanted.held AS free,
        first_value(coalesce(waiting.most, job.concurrency_limit, 1)) OVER in_order
            AS first_most,
        wanted.is_deep OR count(*) OVER (PARTITION BY wanted.key) = 1 AS is_wanted
    FROM wanted
    CROSS JOIN LATERAL (
        SELECT ctid AS place, job_id, priority, concurrency_limit AS most, yields
        FROM jobsd.blocked_executions
        WHERE concurrency_key = wanted.key
            AND queue_name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
        ORDER BY priority, job_id
        LIMIT wanted.jobs
    ) AS waiting
    LEFT JOIN jobsd.jobs AS job ON job.id = waiting.job_id
    WINDOW in_order AS (PARTITION BY wanted.key ORDER BY waiting.priority, waiting.job_id)
), locked AS MATERIALIZED (
    SELECT ctid AS place
    FROM jobsd.blocked_executions
    WHERE ctid = ANY (ARRAY(SELECT place FROM seen WHERE is_wanted))
    FOR UPDATE SKIP LOCKED
), judged AS MATERIALIZED (
    -- What another worker has to start, but may start beside ours, is passed over: it has one of
    -- the free slots coming. Behind `bound` all stay.
    SELECT
        *,
        NOT is_ours AND claim_id IS NULL AND number <= free AS is_passed,
        min(number) FILTER (
            WHERE (place IN (SELECT place FROM locked)) IS NOT TRUE
                OR NOT (is_ours OR (claim_id IS NULL AND number <= free))
                OR most <> first_most
                OR (yields AND (claim_id IS NOT NULL OR number > free))
        ) OVER (PARTITION BY key) AS bound,
        free - count(*) FILTER (WHERE NOT is_ours AND claim_id IS NULL AND number <= free)
            OVER (PARTITION BY key) AS slots
    FROM seen
), chosen AS MATERIALIZED (
    SELECT
        *,
        row_number() OVER (PARTITION BY key ORDER BY number) - 1 AS turn,
        least(slots, %(threads)s::bigint, count(*) OVER (PARTITION BY key)) AS series_all
    FROM (
        SELECT *, row_number() OVER (ORDER BY place_met, key, number) AS total
        FROM judged
        WHERE number < coalesce(bound, 2 ^ 31) AND NOT is_passed AND NOT is_gone
            AND (slots > 0 OR claim_id IS NOT NULL)
    ) AS judged
    WHERE total <= %(limit)s::bigint OR claim_id IS NOT NULL
), spread AS MATERIALIZED (
    SELECT
        *,
        CASE WHEN claim_id IS NULL THEN turn %% series_all ELSE 0 END AS series,
        CASE
            WHEN turn = 0 AND claim_id IS NULL THEN ARRAY(
                SELECT slot
                FROM generate_series(1, least(first_most, held + series_all)::integer)
                    AS slot
                WHERE slot <> ALL (numbers)
                ORDER BY slot
                LIMIT series_all
            )
        END AS slots_free,
        CASE
            WHEN turn < series_all THEN jobsd.further_id((SELECT jobsd.random_id()), total)
        END AS fresh_id
    FROM chosen
), placed AS MATERIALIZED (
    SELECT
        *,
        coalesce(claim_id, first_value(fresh_id) OVER (PARTITION BY key, series ORDER BY turn))
            AS in_claim,
        (first_value(slots_free) OVER (PARTITION BY key ORDER BY turn))[series + 1] AS slot
    FROM spread
), made AS (
    INSERT INTO jobsd.claims (id, process_id, concurrency_key, slot, job_ids)
    SELECT in_claim, %(process_id)s::bigint, key, slot, array_agg(job_id ORDER BY number)
    FROM placed
    WHERE claim_id IS NULL AND slot IS NOT NULL
    GROUP BY in_claim, key, slot
    ORDER BY key, slot
    ON CONFLICT (concurrency_key, slot) WHERE concurrency_key IS NOT NULL DO NOTHING
    RETURNING id
), extended AS (
    UPDATE jobsd.claims AS claim
    SET job_ids = claim.job_ids || more.job_ids
    FROM (
        SELECT claim_id, size, array_agg(job_id ORDER BY number) AS job_ids
        FROM placed
        WHERE claim_id IS NOT NULL
        GROUP BY claim_id, size
    ) AS more
    WHERE claim.id = more.claim_id AND cardinality(claim.job_ids) = more.size
    RETURNING claim.id
), held AS MATERIALIZED (
    SELECT *
    FROM placed
    WHERE (in_claim IN (SELECT id FROM made UNION ALL SELECT id FROM extended)) IS TRUE
), taken AS (
    DELETE FROM jobsd.blocked_executions
    WHERE ctid = ANY (ARRAY(
        SELECT place FROM held
        UNION ALL
        -- Their jobs were deleted by somebody's hand.
        SELECT place FROM judged WHERE is_gone AND number < coalesce(bound, 2 ^ 31)
    ))
), guard AS MATERIALIZED (
    -- All slots of keys that are full, locked: whoever gives one back waits until we have
    -- committed, and hands over to what we block.
    SELECT counted.key, counted.held
    FROM counted
    CROSS JOIN LATERAL (
        (
            SELECT
            FROM jobsd.claims
            WHERE concurrency_key = counted.key
            FOR KEY SHARE SKIP LOCKED
        )
    ) AS slot
    WHERE counted.held >= counted.most AND NOT is_flowing
        -- Behind all that waits.
        AND (SELECT count(*) FROM made) + (SELECT count(*) FROM extended) >= 0
), full_key AS MATERIALIZED (
    SELECT key
    FROM guard
    GROUP BY key
    HAVING count(*) = min(held)
), aside AS MATERIALIZED (
    SELECT ctid AS place, job_id, yields
    FROM jobsd.blocked_executions
    WHERE ctid = ANY (ARRAY(
        SELECT place
        FROM met
        WHERE (key IN (SELECT key FROM full_key)) IS TRUE
        LIMIT %(aside_max)s::bigint
    ))
    FOR UPDATE SKIP LOCKED
), parked AS (
    UPDATE jobsd.blocked_executions
    SET position = NULL
    WHERE ctid = ANY (ARRAY(SELECT place FROM aside WHERE NOT yields))
    RETURNING job_id
), dropping AS MATERIALIZED (
    SELECT id
    FROM jobsd.jobs
    WHERE id = ANY (ARRAY(SELECT job_id FROM aside WHERE yields))
    ORDER BY id
    FOR UPDATE SKIP LOCKED
), dropped AS (
    DELETE FROM jobsd.blocked_executions
    WHERE ctid = ANY (ARRAY(
        SELECT place FROM aside WHERE (job_id IN (SELECT id FROM dropping)) IS TRUE
    ))
    RETURNING job_id
), discarded AS (
    UPDATE jobsd.jobs
    SET finished_at = now(), outcome = 'discarded', reason = 'conflict'
    WHERE id = ANY (ARRAY(SELECT job_id FROM dropped)) AND %(keep)s::boolean
), erased AS (
    DELETE FROM jobsd.jobs
    WHERE id = ANY (ARRAY(SELECT job_id FROM dropped)) AND NOT %(keep)s::boolean
    RETURNING id, class_name
)
SELECT
    NULL::bigint,
    (SELECT count(*) FROM held),
    json_build_object(
        'walked', (SELECT count(*) FROM walked),
        -- Whether any that was met might have been started here, and was left.
        'left', EXISTS (
            SELECT
            FROM counted
            WHERE held < most AND NOT is_extended
                AND (key IN (SELECT key FROM held)) IS NOT TRUE
                AND (key IN (
                    SELECT key FROM judged WHERE number = 1 AND (NOT is_ours OR free <= 0)
                )) IS NOT TRUE
        ),
        'parked', (SELECT count(*) FROM parked),
        'dropped', (SELECT json_agg(job_id) FROM dropped),
        'kept', (
            SELECT
                CASE WHEN count(*) > 0 THEN jobsd.keep_ends(array_agg(id), array_agg(class_name)) END
            FROM erased
        ),
        'unknown', (
            SELECT json_agg(DISTINCT jsonb_build_array(queue_name, class_name))
            FROM judged
            WHERE number = 1 AND NOT is_ours
        )
    )::text,
    (
        SELECT json_agg(json_build_array(turn, priority, first, last, meant))::text
        FROM (
            SELECT
                turn, priority, min(position) AS first, max(position) AS last,
                min(position) FILTER (WHERE is_meant) AS meant
            FROM walked
            GROUP BY turn, priority
        ) AS stretch
    ),
    NULL::text, NULL::integer, NULL::integer, NULL::float8, NULL::text, NULL::integer,
    NULL::bigint, NULL::text, NULL::float8
UNION ALL
(
    SELECT
        held.in_claim, held.job_id, held.class_name,
        CASE
            WHEN held.weight <= %(share)s::integer OR (SELECT sum(weight) FROM held) <= %(budget)s::bigint
                THEN held.arguments::text
            ELSE ''
        END,
        held.queue_name, held.attempts, held.max_attempts,
        %(asked_at)s::float8 - extract(epoch FROM now() - held.due_at)::float8,
        held.key, held.priority, held.first_most::bigint, held.context::text,
        CASE WHEN held.expires THEN (
            SELECT %(asked_at)s::float8
                + extract(epoch FROM expiration.expires_at - now())::float8
            FROM jobsd.expirations AS expiration
            WHERE expiration.job_id = held.job_id
        ) END
    FROM held
    ORDER BY held.place_met, held.in_claim, held.number
);
