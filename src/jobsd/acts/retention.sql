-- clear: remove the old finished jobs among the next ones by their ids, and their failed
-- attempts. Says how many went, which id was the last seen, how many were seen, the first
-- that has finished and is too young, and whether any was there before the limit: behind a
-- batch without such a one, none can have finished before it. Rows of another who clears
-- at the same time are skipped.
WITH bound AS (
    SELECT coalesce(
        %(finished_before)s::timestamptz,
        now() - make_interval(secs => %(older_than_s)s::float8)
    ) AS finished_before
), seen AS MATERIALIZED (
    SELECT id, created_at, finished_at
    FROM jobsd.jobs
    WHERE id > %(after)s
    ORDER BY id
    LIMIT %(limit)s
), edge AS (
    SELECT
        max(id) AS last_id,
        min(created_at) AS oldest,
        count(*) AS size,
        min(id) FILTER (WHERE finished_at >= bound.finished_before) AS first_young
    FROM seen
    CROSS JOIN bound
), gone AS (
    DELETE FROM jobsd.jobs
    WHERE ctid = ANY (ARRAY(
        SELECT job.ctid
        FROM jobsd.jobs AS job
        WHERE job.id > %(after)s
            AND job.id <= (SELECT last_id FROM edge)
            AND job.finished_at < (SELECT finished_before FROM bound)
            AND (%(class_name)s::text IS NULL OR job.class_name = %(class_name)s)
        ORDER BY job.id
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING id
), attempt AS (
    DELETE FROM jobsd.attempts
    WHERE job_id = ANY (ARRAY(SELECT id FROM gone))
)
SELECT
    (SELECT count(*) FROM gone),
    edge.last_id,
    edge.size,
    edge.first_young,
    edge.oldest < bound.finished_before
FROM edge
CROSS JOIN bound;

-- clearable: count the jobs that `clear` would remove among the next ones by their ids; the last id,
-- how many were seen, and whether any was there before the limit.
WITH bound AS (
    SELECT now() - make_interval(secs => %(older_than_s)s::float8) AS finished_before
), seen AS MATERIALIZED (
    SELECT id, created_at, finished_at, class_name
    FROM jobsd.jobs
    WHERE id > %(after)s
    ORDER BY id
    LIMIT %(limit)s
)
SELECT
    count(*) FILTER (
        WHERE finished_at < bound.finished_before
            AND (%(class_name)s::text IS NULL OR class_name = %(class_name)s)
    ),
    max(id),
    count(*),
    min(created_at) < min(bound.finished_before)
FROM seen
CROSS JOIN bound;
