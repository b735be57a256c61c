-- first_since: bisect the ids of all jobs for the first one that was enqueued at a moment or later.
-- Ids are drawn in the order of time, and a job's `created_at` is the beginning of its transaction:
-- so all jobs from a later one on were enqueued after that moment. A step reads one row by the
-- primary key, so the search takes as long among few jobs as among millions.
WITH RECURSIVE search AS (
    SELECT 0::bigint AS low, (SELECT coalesce(max(id), 0) FROM jobsd.jobs) + 1 AS high
    UNION ALL
    SELECT
        CASE WHEN probe.is_late THEN search.low ELSE probe.id + 1 END,
        CASE WHEN probe.is_late THEN half.id ELSE search.high END
    FROM search
    CROSS JOIN LATERAL (
        SELECT (search.low + search.high) / 2 AS id
    ) AS half
    CROSS JOIN LATERAL (
        SELECT
            job.id,
            job.id >= search.high OR job.created_at >= %(moment)s::timestamptz AS is_late
        FROM jobsd.jobs AS job
        WHERE job.id >= half.id
        ORDER BY job.id
        LIMIT 1
    ) AS probe
    WHERE search.low < search.high
)
SELECT coalesce(
    (SELECT min(id) FROM jobsd.jobs WHERE id >= (SELECT min(high) FROM search)),
    (SELECT min(high) FROM search)
);
