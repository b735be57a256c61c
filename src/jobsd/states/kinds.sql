-- pick_kind: pick like pick_lanes, but only jobs of classes whose lanes are among `kind`. Of the
-- common jobs it walks over so many as `depth` says, those of paused queues too; `head_walked`
-- says how far. A lane is searched whose class is meant, and not walked over.
segment AS (
    SELECT
        nullif(queue_name, '') AS queue_name, nullif(lane, '') AS lane,
        after_priority, after_position, below_priority, below_position, turn
    FROM unnest(
        %(names)s::text[], %(lanes)s::text[],
        %(after_priorities)s::integer[], %(after_positions)s::bigint[],
        %(below_priorities)s::bigint[], %(below_positions)s::bigint[], %(turns)s::bigint[]
    ) AS segment (
        queue_name, lane, after_priority, after_position, below_priority, below_position, turn
    )
), paused AS MATERIALIZED (
    SELECT queue_name FROM jobsd.pauses
), kind AS MATERIALIZED (
    SELECT unnest(%(kind)s::text[]) AS lane
), walked AS MATERIALIZED (
    SELECT waiting.*, segment.turn, segment.queue_name AS named
    FROM segment
    CROSS JOIN LATERAL (
        (
            SELECT ctid AS place, job_id, queue_name AS queue, priority, position
            FROM jobsd.ready_executions
            WHERE segment.queue_name IS NULL
                AND (priority, position) > (segment.after_priority, segment.after_position)
                AND (priority, position) < (segment.below_priority, segment.below_position)
            ORDER BY priority, position
            LIMIT %(depth)s::bigint
        )
        UNION ALL
        (
            SELECT ctid, job_id, queue_name, priority, position
            FROM jobsd.ready_executions
            WHERE segment.lane IS NULL
                AND queue_name = segment.queue_name
                AND (priority, position) > (segment.after_priority, segment.after_position)
                AND (priority, position) < (segment.below_priority, segment.below_position)
            ORDER BY priority, position
            LIMIT %(depth)s::bigint
        )
    ) AS waiting
    LIMIT %(depth)s::bigint
), candidate AS (
    SELECT place, false AS parked, turn, priority, position
    FROM (
        SELECT walked.*
        FROM walked
        JOIN jobsd.jobs AS job ON job.id = walked.job_id
        WHERE (jobsd.lane_of(job.class_name) IN (SELECT lane FROM kind)) IS TRUE
            AND (walked.queue IN (SELECT queue_name FROM paused)) IS NOT TRUE
        LIMIT %(limit)s + 1000
    ) AS common
    UNION ALL
    SELECT waiting.place, true, segment.turn, waiting.priority, waiting.position
    FROM segment
    CROSS JOIN LATERAL (
        SELECT ctid AS place, priority, position
        FROM jobsd.parked_executions
        WHERE queue_name = segment.queue_name
            AND lane = segment.lane
            AND (priority, position) > (segment.after_priority, segment.after_position)
            AND (priority, position) < (segment.below_priority, segment.below_position)
        ORDER BY priority, position
        LIMIT %(limit)s + 1000
    ) AS waiting
    WHERE (segment.queue_name IN (SELECT queue_name FROM paused)) IS NOT TRUE
    ORDER BY turn, priority, position
    LIMIT %(limit)s + 1000
);

-- head_walked: begin the answer of a claim of one kind: how far it has walked, by queue (where
-- these are named) and priority, and over how many jobs. Where it has picked all it may, what
-- comes behind the last of these may be of the kind.
last AS MATERIALIZED (
    SELECT turn, priority, position
    FROM picked
    WHERE (SELECT count(*) FROM picked) >= %(limit)s
    ORDER BY turn DESC, priority DESC, position DESC
    LIMIT 1
), passed AS (
    SELECT named, turn, priority, max(position) AS position
    FROM walked
    WHERE NOT EXISTS (SELECT FROM last)
        OR (turn, priority, position) <= (SELECT turn, priority, position FROM last)
    GROUP BY named, turn, priority
), first AS (
    SELECT
        (
            SELECT json_agg(json_build_array(named, priority, position) ORDER BY turn, priority)
            FROM passed
        )::text AS walked,
        (SELECT count(*) FROM walked)::integer AS steps
);
