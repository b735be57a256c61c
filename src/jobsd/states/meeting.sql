-- meet_any: meet the next limited jobs of all queues that are not paused, in the order of all
-- ready jobs, behind the places that this worker has passed over. Begins a statement: `keys` goes
-- on. Nothing is locked yet: several of these may be of one key, of which others come first.
WITH segment AS (
    SELECT after_priority, after_position, below_priority, below_position
    FROM unnest(
        %(after_priorities)s::integer[], %(after_positions)s::bigint[],
        %(below_priorities)s::bigint[], %(below_positions)s::bigint[]
    ) AS segment (after_priority, after_position, below_priority, below_position)
), met AS MATERIALIZED (
    SELECT waiting.*, 0::bigint AS turn
    FROM segment
    CROSS JOIN LATERAL (
        SELECT
            ctid AS place, job_id, priority, position, concurrency_key AS key,
            concurrency_limit AS most, yields
        FROM jobsd.blocked_executions
        WHERE position IS NOT NULL
            AND (priority, position) > (segment.after_priority, segment.after_position)
            AND (priority, position) < (segment.below_priority, segment.below_position)
            AND (%(until_turn)s::bigint IS NULL OR (priority, position)
                < (%(until_priority)s::integer, %(until_position)s::bigint))
            AND queue_name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
        ORDER BY priority, position
        LIMIT %(depth)s::bigint
    ) AS waiting
    LIMIT %(depth)s::bigint
);

-- meet_named: the same from a list of queues: the first one's jobs before the second's.
WITH segment AS (
    SELECT
        queue_name, after_priority, after_position, below_priority, below_position, turn
    FROM unnest(
        %(names)s::text[], %(after_priorities)s::integer[], %(after_positions)s::bigint[],
        %(below_priorities)s::bigint[], %(below_positions)s::bigint[]
    ) WITH ORDINALITY AS segment (
        queue_name, after_priority, after_position, below_priority, below_position, turn
    )
    WHERE queue_name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
    ORDER BY turn
), met AS MATERIALIZED (
    SELECT waiting.*, segment.turn
    FROM segment
    CROSS JOIN LATERAL (
        SELECT
            ctid AS place, job_id, priority, position, concurrency_key AS key,
            concurrency_limit AS most, yields
        FROM jobsd.blocked_executions
        WHERE position IS NOT NULL
            AND queue_name = segment.queue_name
            AND (priority, position) > (segment.after_priority, segment.after_position)
            AND (priority, position) < (segment.below_priority, segment.below_position)
            AND (%(until_turn)s::bigint IS NULL OR (segment.turn, priority, position) < (
                %(until_turn)s::bigint, %(until_priority)s::integer, %(until_position)s::bigint
            ))
        ORDER BY priority, position
        LIMIT %(depth)s::bigint
    ) AS waiting
    LIMIT %(depth)s::bigint
);

-- meet_kind: the same from any queues, or a list of them (`names`), but only jobs of classes whose
-- lanes are among `kind`. It walks over so many as `depth` says, those of paused queues too.
WITH segment AS (
    SELECT
        nullif(queue_name, '') AS queue_name,
        after_priority, after_position, below_priority, below_position,
        CASE WHEN queue_name = '' THEN 0 ELSE turn END AS turn
    FROM unnest(
        %(names)s::text[], %(after_priorities)s::integer[], %(after_positions)s::bigint[],
        %(below_priorities)s::bigint[], %(below_positions)s::bigint[]
    ) WITH ORDINALITY AS segment (
        queue_name, after_priority, after_position, below_priority, below_position, turn
    )
    ORDER BY segment.turn
), known AS MATERIALIZED (
    SELECT unnest(%(kind)s::text[]) AS lane
), step AS MATERIALIZED (
    SELECT waiting.*, segment.turn
    FROM segment
    CROSS JOIN LATERAL (
        (
            SELECT
                ctid AS place, job_id, queue_name AS queue, priority, position,
                concurrency_key AS key, concurrency_limit AS most, yields
            FROM jobsd.blocked_executions
            WHERE segment.queue_name IS NULL
                AND position IS NOT NULL
                AND (priority, position) > (segment.after_priority, segment.after_position)
                AND (priority, position) < (segment.below_priority, segment.below_position)
                AND (%(until_turn)s::bigint IS NULL OR (priority, position)
                    < (%(until_priority)s::integer, %(until_position)s::bigint))
            ORDER BY priority, position
            LIMIT %(depth)s::bigint
        )
        UNION ALL
        (
            SELECT
                ctid, job_id, queue_name, priority, position,
                concurrency_key, concurrency_limit, yields
            FROM jobsd.blocked_executions
            WHERE queue_name = segment.queue_name
                AND position IS NOT NULL
                AND (priority, position) > (segment.after_priority, segment.after_position)
                AND (priority, position) < (segment.below_priority, segment.below_position)
                AND (%(until_turn)s::bigint IS NULL OR (
                    segment.turn <= %(until_turn)s::bigint
                    AND (
                        segment.queue_name <> %(until_name)s::text
                        OR (priority, position)
                            < (%(until_priority)s::integer, %(until_position)s::bigint)
                    )
                ))
            ORDER BY priority, position
            LIMIT %(depth)s::bigint
        )
    ) AS waiting
    LIMIT %(depth)s::bigint
), of_kind AS MATERIALIZED (
    SELECT id
    FROM jobsd.jobs
    WHERE id = ANY (ARRAY(SELECT job_id FROM step))
        AND (jobsd.lane_of(class_name) IN (SELECT lane FROM known)) IS TRUE
), walked AS MATERIALIZED (
    SELECT
        *,
        (job_id IN (SELECT id FROM of_kind)) IS TRUE
            AND queue <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses)) AS is_meant
    FROM step
), met AS MATERIALIZED (
    SELECT place, job_id, priority, position, key, most, yields, turn
    FROM walked
    WHERE is_meant
);

-- as_they_come: what a claim of jobs as they come (`meet_any`, `meet_named`) knows: it has walked
-- over none but what it has met, and may start what its worker has imported.
walked AS NOT MATERIALIZED (
    SELECT turn, priority, position, true AS is_meant
    FROM met
), known AS MATERIALIZED (
    SELECT unnest(lanes) AS lane
    FROM jobsd.worker_classes
    WHERE process_id = %(process_id)s::bigint
    UNION ALL
    SELECT unnest(%(overdue)s::text[])
);
