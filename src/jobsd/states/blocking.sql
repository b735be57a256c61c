-- block: block the jobs that were met and whose key is full, `at_most` in all, unless their turn
-- comes here within a moment (`flowing`); jobs that may not wait are dropped. `count_keys` comes before.
--
-- All slots of full keys are locked: a session that frees one waits until we have committed, and
-- hands over to the jobs that we block.
slot AS (
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
    WHERE counted.held >= counted.most AND counted.key <> ALL (%(flowing)s::text[])
), full_key AS MATERIALIZED (
    SELECT key
    FROM slot
    GROUP BY key
    HAVING count(*) = min(held)
), aside AS MATERIALIZED (
    SELECT ctid AS place, job_id, yields
    FROM jobsd.blocked_executions
    WHERE ctid = ANY (ARRAY(
        SELECT place
        FROM met
        WHERE (key IN (SELECT key FROM full_key)) IS TRUE
        LIMIT %(at_most)s::bigint
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
    (SELECT count(*) FROM met),
    (SELECT max(position) FROM met),
    (SELECT count(*) FROM parked),
    ARRAY(
        SELECT job_id
        FROM jobsd.end_jobs(
            ARRAY(SELECT job_id FROM dropped), %(keep)s::boolean, 'conflict'
        )
        WHERE EXISTS (SELECT FROM dropped)
    );
