-- keys: return how many limited jobs were met, how many of these have a full key (`block` blocks
-- them), where they lie, and how many keys could get a slot; of these the first ones, as many as
-- the `limit`, and the slots that are free. `count_keys` comes before.
open AS MATERIALIZED (
    SELECT key, rank, most - held AS free
    FROM counted
    WHERE held < most AND key <> ALL (%(keys)s::text[])
), first AS (
    SELECT * FROM open ORDER BY rank LIMIT %(limit)s::bigint
)
SELECT
    (SELECT count(*) FROM met),
    (
        SELECT count(*) FROM met WHERE (key IN (
            SELECT key FROM counted WHERE held >= most AND key <> ALL (%(flowing)s::text[])
        )) IS TRUE
    ),
    (
        SELECT json_agg(json_build_array(turn, priority, first, last))::text
        FROM (
            SELECT turn, priority, min(position) AS first, max(position) AS last
            FROM met
            GROUP BY turn, priority
        ) AS stretch
    ),
    (SELECT count(*) FROM open),
    ARRAY(SELECT key FROM first ORDER BY rank),
    ARRAY(SELECT free FROM first ORDER BY rank);

-- claim: take slots of the wanted keys, and claim their first jobs (see `9_series.sql` of the
-- migration).
SELECT *
FROM jobsd.claim_series(
    %(process_id)s::bigint, %(keys)s::text[], %(claims)s::bigint[], %(sizes)s::integer[],
    %(depths)s::integer[], %(deep)s::boolean[], %(limit)s::bigint, %(threads)s::bigint,
    %(drawn)s::bigint, %(overdue)s::text[], %(everything)s::boolean, %(queues)s::text[],
    %(asked_at)s::float8, %(share)s::integer, %(budget)s::bigint
);
