-- meet_any: meet the next limited jobs of all queues that are not paused, in the order of all
-- ready jobs, behind the places that this worker has passed over. It begins a statement that
-- `count_keys` continues. Nothing is locked yet: several of these jobs may be of one key,
-- of which other jobs come first.
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

-- count_keys: count the slots of each key that was met: `held` of `most`. `rank` is the order in which
-- the keys were met. What decides about keys is here, for both statements.
counted AS MATERIALIZED (
    SELECT
        key.key, key.rank, taken.held,
        CASE
            WHEN key.most_unknown THEN greatest(key.most, (
                SELECT job.concurrency_limit FROM jobsd.jobs AS job WHERE job.id = key.job_id
            ))
            ELSE key.most
        END AS most
    FROM (
        SELECT
            key, min(rank) AS rank, coalesce(max(most), 1) AS most,
            bool_or(most IS NULL) AS most_unknown, min(job_id) AS job_id
        FROM (
            SELECT *, row_number() OVER (ORDER BY turn, priority, position) AS rank FROM met
        ) AS met
        GROUP BY key
    ) AS key
    CROSS JOIN LATERAL (
        SELECT count(*)::integer AS held
        FROM jobsd.claims
        WHERE concurrency_key = key.key
    ) AS taken
);
