-- clear: remove the old finished jobs of the next page by id, and their failed attempts. Returns
-- the number of removed jobs, the last id of the page, the size of the page, the first job that has
-- finished too recently, and whether any job of the page was created before the limit: if none was,
-- no later job can have finished before it. Rows that another session clears at the same time are
-- skipped.
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

-- clearable: count the jobs that `clear` would remove from the next page by id. Returns this count,
-- the last id, the size of the page, and whether any job was created before the limit.
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
