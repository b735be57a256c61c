-- report: block the jobs that a claim of series has met and can't start, and return its effects. It
-- ends the statement that `claim` begins.
--
-- The first row has the claims and their jobs, in the order in which they start, and all other
-- effects. The jobs follow, in any order, with the limit of the key in the column of the position.
guard AS MATERIALIZED (
    -- All slots of full keys, locked: a session that frees one waits until we have committed, and
    -- hands over to the jobs that we block.
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
        -- Only after all steps that may wait.
        AND (SELECT count(*) FROM made) + (SELECT count(*) FROM made_hastily)
            + (SELECT count(*) FROM extended) >= 0
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
)
SELECT
    NULL::bigint,
    NULL::bigint,
    json_build_object(
        'walked', (SELECT count(*) FROM met),
        -- Whether any job that was met could have been started here, and was left.
        'left', EXISTS (
            SELECT
            FROM (
                SELECT key FROM counted WHERE held < most AND NOT is_extended
                UNION ALL
                SELECT key
                FROM alone
                WHERE NOT (is_startable AND (SELECT is_all FROM fit) AND (
                        (SELECT count(*) FROM held) = (SELECT count(*) FROM placed)
                    ))
                    AND (job_id IN (SELECT id FROM found WHERE NOT is_ours)) IS NOT TRUE
            ) AS open
            WHERE (key IN (SELECT key FROM held)) IS NOT TRUE
                AND (key IN (
                    SELECT key FROM of_key WHERE first_unknown IS NOT NULL OR is_full
                )) IS NOT TRUE
        ),
        'parked', (SELECT count(*) FROM parked),
        'dropped', (
            SELECT json_agg(job_id)
            FROM jobsd.end_jobs(
                ARRAY(SELECT job_id FROM dropped), %(keep)s::boolean, 'conflict'
            )
            WHERE EXISTS (SELECT FROM dropped)
        ),
        'unknown', (
            SELECT json_agg(DISTINCT jsonb_build_array(queue_name, class_name))
            FROM found
            WHERE NOT is_ours AND id = ANY (ARRAY(
                SELECT first_unknown FROM of_key WHERE first_unknown IS NOT NULL
                UNION ALL
                SELECT job_id FROM alone WHERE NOT is_startable
            ))
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
