-- any: return whether any limited job is ready.
SELECT EXISTS (SELECT FROM jobsd.blocked_executions WHERE position IS NOT NULL);

-- claim: take slots of the keys that were met, and claim a series of each: the first jobs of the
-- key that this worker can start, whichever of them were met. Slots that it has taken before, with
-- few jobs left in their series, get more jobs (`claims`, `keys`, `sizes`, `rooms`), as far as the
-- other keys leave some of the `limit`: otherwise the other keys would wait as long as these have
-- jobs.
--
-- Invariant: the first jobs of a key are locked, and the jobs behind one that could not be locked,
-- or that another worker has to start, stay. So of two workers that want a slot of one key at the
-- same time, the second gets none, or sees the slot of the first, or is refused by the unique index
-- of slots. The insert of a slot may have to wait for a session that just deletes it, and meanwhile
-- holds no row of a claim, for which others would wait.
--
-- Of many keys with several waiting jobs, only some are taken (`deep`): their series are longer,
-- and other workers take some, too. Keys with one waiting job are taken as well, unless they don't
-- count (`singles`).
--
-- Two of these expressions are never joined, which would look at each pair: our connections plan
-- without hash and merge joins. There are few steps for each job, of few columns: each step costs
-- as much as finding the job.
wanted AS MATERIALIZED (
    SELECT
        key, rank, held, numbers, NULL::bigint AS claim_id, NULL::integer AS size,
        number <= %(deep)s::bigint AS is_deep,
        CASE
            WHEN number > %(deep)s::bigint THEN 2
            ELSE least(most - held, %(threads)s::bigint)
                * greatest(1, least(%(long)s::bigint, %(limit)s::bigint / greatest(1, least(
                    keys + cardinality(%(claims)s::bigint[]), %(deep)s::bigint
                ))))
        END AS jobs
    FROM (
        SELECT *, row_number() OVER (ORDER BY rank) AS number, count(*) OVER () AS keys
        FROM counted
        WHERE held < most AND key <> ALL (%(keys)s::text[])
    ) AS open
    WHERE number <= %(deep)s::bigint OR %(singles)s::boolean
    UNION ALL
    SELECT
        key, (SELECT count(*) FROM met) + number, 0, '{}', claim_id, size, true, room
    FROM unnest(
        %(claims)s::bigint[], %(keys)s::text[], %(sizes)s::integer[], %(rooms)s::integer[]
    ) WITH ORDINALITY AS further (claim_id, key, size, room, number)
    ORDER BY rank
), seen AS MATERIALIZED (
    SELECT
        wanted.rank, wanted.key, wanted.held, wanted.numbers, wanted.claim_id, wanted.size,
        waiting.first_most, waiting.first_most - wanted.held AS free,
        waiting.place, waiting.job_id, waiting.number,
        wanted.is_deep OR waiting.jobs = 1 AS is_wanted,
        waiting.most <> waiting.first_most OR (
            waiting.yields AND (
                wanted.claim_id IS NOT NULL
                OR waiting.number > waiting.first_most - wanted.held
            )
        ) AS is_barred
    FROM wanted
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
            LIMIT wanted.jobs
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
), found AS MATERIALIZED (
    -- By one search of the index: one for each would be a tenth of the server's work.
    SELECT
        id, class_name, queue_name, attempts, max_attempts, concurrency_key, priority,
        coalesce(scheduled_at, created_at) AS due_at, created_at,
        arguments, pg_column_size(arguments) AS weight,
        context, set_aside_at, expires_in IS NOT NULL AS expires,
        coalesce(concurrency_limit, 1)::bigint AS most,
        (jobsd.lane_of(class_name) IN (SELECT lane FROM known)) IS TRUE
            AND (%(everything)s::boolean OR jobsd.serves(%(queues)s::text[], queue_name)) AS is_ours
    FROM jobsd.jobs
    WHERE id = ANY (ARRAY(SELECT job_id FROM seen))
), judged AS MATERIALIZED (
    -- A job that another worker has to start, but may start beside ours, is passed over: one of the
    -- free slots is left for it. (OFFSET 0: each job is looked up once, not for each use of the
    -- result.)
    SELECT *, NOT is_ours AND claim_id IS NULL AND number <= free AS is_passed
    FROM (
        SELECT
            *,
            (place IN (SELECT place FROM locked)) IS TRUE AS is_locked,
            (job_id IN (SELECT id FROM found WHERE NOT is_ours)) IS NOT TRUE AS is_ours,
            (job_id IN (SELECT id FROM found)) IS NOT TRUE AS is_gone
        FROM seen
        OFFSET 0
    ) AS seen
), of_key AS MATERIALIZED (
    -- Jobs of a key at `bound` or behind it stay. All columns except the jobs are equal in all
    -- rows.
    SELECT
        rank, min(key) AS key, min(held) AS held, min(numbers) AS numbers,
        min(claim_id) AS claim_id, min(size) AS size, min(first_most) AS first_most,
        min(free) - count(*) FILTER (WHERE is_passed) AS slots,
        min(number) FILTER (WHERE is_barred OR NOT (is_locked AND (is_ours OR is_passed))) AS bound,
        array_agg(CASE WHEN NOT (is_passed OR is_gone) THEN job_id END ORDER BY number) AS job_ids,
        min(job_id) FILTER (WHERE number = 1 AND NOT is_ours) AS first_unknown,
        min(free) <= 0 AS is_full
    FROM judged
    GROUP BY rank
), chosen AS (
    SELECT *, CASE
        WHEN claim_id IS NULL THEN least(slots, %(threads)s::bigint, jobs) ELSE 1
    END AS series_all
    FROM (
        SELECT *, least(cardinality(job_ids), %(limit)s::bigint - before) AS jobs
        FROM (
            SELECT
                *,
                sum(cardinality(job_ids)) OVER (ORDER BY rank ROWS UNBOUNDED PRECEDING)
                    - cardinality(job_ids) AS before
            FROM (
                SELECT
                    rank, key, held, numbers, claim_id, size, first_most, slots,
                    array_remove(
                        job_ids[:coalesce(bound - 1, cardinality(job_ids))], NULL
                    ) AS job_ids
                FROM of_key
                WHERE slots > 0 OR claim_id IS NOT NULL
            ) AS startable
        ) AS ordered
    ) AS counted
    WHERE jobs > 0
), placed AS MATERIALIZED (
    -- Several slots get the next jobs in turn.
    SELECT
        rank, series, key, claim_id, size,
        coalesce(
            claim_id, jobsd.further_id(%(drawn)s::bigint, rank << 20 | series)
        ) AS in_claim,
        CASE
            WHEN held = 0 THEN series
            ELSE (
                SELECT slot
                FROM generate_series(1, least(first_most, held + series)) AS slot
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
    SELECT in_claim, %(process_id)s::bigint, key, slot, job_ids
    FROM placed
    WHERE claim_id IS NULL AND slot IS NOT NULL
    ORDER BY key, slot
    ON CONFLICT (concurrency_key, slot) WHERE concurrency_key IS NOT NULL DO NOTHING
    RETURNING id
), extended AS (
    UPDATE jobsd.claims AS claim
    SET job_ids = claim.job_ids || more.job_ids
    FROM (SELECT claim_id, size, job_ids FROM placed WHERE claim_id IS NOT NULL) AS more
    WHERE claim.id = more.claim_id
        AND claim.id = ANY (ARRAY(SELECT claim_id FROM placed WHERE claim_id IS NOT NULL))
        AND cardinality(claim.job_ids) = more.size
    RETURNING claim.id
), held AS MATERIALIZED (
    SELECT *
    FROM placed
    WHERE (in_claim IN (SELECT id FROM made UNION ALL SELECT id FROM extended)) IS TRUE
), taken AS (
    DELETE FROM jobsd.blocked_executions
    WHERE ctid = ANY (ARRAY(
        SELECT place
        FROM judged
        WHERE (job_id IN (SELECT unnest(job_ids) FROM held)) IS TRUE
            -- Their jobs were deleted by hand.
            OR (is_gone AND is_locked)
    ))
)
-- The first row has the claims and their jobs, in the order in which they start, and the facts.
-- The jobs follow, in any order, with the limit of the key in the column of the position.
SELECT
    NULL::bigint,
    NULL::bigint,
    json_build_object(
        'walked', (SELECT count(*) FROM met),
        -- Whether any job that was met could have been started here, and was left.
        'left', EXISTS (
            SELECT
            FROM counted
            WHERE held < most AND key <> ALL (%(keys)s::text[])
                AND (key IN (SELECT key FROM held)) IS NOT TRUE
                AND (key IN (
                    SELECT key FROM of_key WHERE first_unknown IS NOT NULL OR is_full
                )) IS NOT TRUE
        ),
        -- The jobs that were met and whose key is full: `block` blocks them.
        'full', (
            SELECT count(*) FROM met WHERE (key IN (
                SELECT key FROM counted WHERE held >= most AND key <> ALL (%(flowing)s::text[])
            )) IS TRUE
        ),
        'unknown', (
            SELECT json_agg(DISTINCT jsonb_build_array(queue_name, class_name))
            FROM found
            WHERE NOT is_ours AND id = ANY (ARRAY(SELECT first_unknown FROM of_key))
        )
    )::text,
    (
        SELECT json_agg(json_build_array(turn, priority, first, last))::text
        FROM (
            SELECT turn, priority, min(position) AS first, max(position) AS last
            FROM met
            GROUP BY turn, priority
        ) AS stretch
    ),
    (
        SELECT
            string_agg(in_claim || ' ' || array_to_string(job_ids, ' '), ',' ORDER BY rank, series)
        FROM held
    ),
    NULL::integer, NULL::integer, NULL::float8, NULL::text, NULL::integer,
    NULL::bigint, NULL::text, NULL::float8, NULL::float8, NULL::bigint
UNION ALL
SELECT
    NULL::bigint,
    found.id, found.class_name,
    CASE
        WHEN found.weight <= %(share)s::integer OR (
            SELECT sum(weight) FROM found WHERE (id IN (SELECT unnest(job_ids) FROM held)) IS TRUE
        ) <= %(budget)s::bigint
            THEN found.arguments::text
        ELSE ''
    END,
    found.queue_name, found.attempts, found.max_attempts,
    %(asked_at)s::float8 - date_part('epoch', now() - found.due_at),
    found.concurrency_key, found.priority, found.most, found.context::text,
    CASE WHEN found.expires THEN (
        SELECT %(asked_at)s::float8 + extract(epoch FROM expiration.expires_at - now())::float8
        FROM jobsd.expirations AS expiration
        WHERE expiration.job_id = found.id
    ) END,
    date_part('epoch', now() - found.set_aside_at),
    (date_part('epoch', found.created_at) * 1000000)::bigint
FROM found
WHERE (id IN (SELECT unnest(job_ids) FROM held)) IS TRUE;
