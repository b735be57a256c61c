-- groups: list the failed jobs by class and type of error, the group with the latest failure first.
-- They were counted when they failed, so this reads only a few rows for each message and queue; if
-- there are very many messages, it reads those that changed last. `messages` has the most frequent
-- ones. The job that is named is the last to have failed among those known to be still failed.
WITH latest AS MATERIALIZED (
    SELECT DISTINCT group_id
    FROM (
        SELECT group_id
        FROM jobsd.failure_counts
        ORDER BY id DESC
        LIMIT %(most)s
    ) AS counted
), summed AS MATERIALIZED (
    SELECT
        part.class_name, part.error_type, part.queue_name, part.pattern,
        sum(part.jobs)::bigint AS jobs,
        min(part.first_failed_at) AS first_failed_at,
        max(part.last_failed_at) AS last_failed_at,
        (
            array_agg(
                part.last_id
                ORDER BY failed.job_id IS NULL, part.last_failed_at DESC NULLS LAST, part.id DESC
            )
        )[1] AS last_id,
        (
            array_agg(
                part.message
                ORDER BY failed.job_id IS NULL, part.last_failed_at DESC NULLS LAST, part.id DESC
            )
        )[1] AS message
    FROM latest
    JOIN jobsd.failure_counts AS part ON part.group_id = latest.group_id
    LEFT JOIN jobsd.failed_executions AS failed
        ON failed.job_id = part.last_id
            AND left(failed.error ->> 'type', 300) = part.error_type
    WHERE (%(class_name)s::text IS NULL OR part.class_name = %(class_name)s)
        AND (%(queue_name)s::text IS NULL OR part.queue_name = %(queue_name)s)
    GROUP BY part.group_id, part.class_name, part.error_type, part.queue_name, part.pattern
    HAVING sum(part.jobs) > 0
), ranked AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY class_name, error_type
            ORDER BY jobs DESC, last_failed_at DESC, pattern, queue_name
        ) AS place
    FROM summed
)
SELECT
    class_name,
    error_type,
    sum(jobs)::bigint,
    min(first_failed_at),
    max(last_failed_at),
    (array_agg(message ORDER BY last_failed_at DESC, last_id DESC))[1],
    (array_agg(last_id ORDER BY last_failed_at DESC, last_id DESC))[1],
    (array_agg(DISTINCT queue_name))[1:10],
    jsonb_agg(
        jsonb_build_object(
            'pattern', pattern, 'message', message, 'jobs', jobs, 'last_id', last_id
        )
        ORDER BY place
    ) FILTER (WHERE place <= %(messages)s)
FROM ranked
GROUP BY class_name, error_type
ORDER BY max(last_failed_at) DESC NULLS LAST, class_name, error_type
LIMIT 1000;

-- retrying: list the errors of the jobs that wait for another attempt, by class and type of error:
-- those among the next scheduled jobs, the group with the latest error first.
SELECT
    job.class_name,
    failed.error ->> 'type',
    count(*),
    max(failed.ended_at),
    (array_agg(failed.error ->> 'message' ORDER BY failed.ended_at DESC, job.id DESC))[1],
    (array_agg(job.id ORDER BY failed.ended_at DESC, job.id DESC))[1]
FROM (
    SELECT job_id
    FROM jobsd.scheduled_executions
    ORDER BY scheduled_at, priority, job_id
    LIMIT %(most)s
) AS scheduled
JOIN jobsd.jobs AS job
    ON job.id = scheduled.job_id
        AND job.attempts > 0
        AND (%(class_name)s::text IS NULL OR job.class_name = %(class_name)s)
        AND (%(queue_name)s::text IS NULL OR job.queue_name = %(queue_name)s)
CROSS JOIN LATERAL (
    SELECT error, ended_at
    FROM jobsd.attempts
    WHERE job_id = job.id AND error IS NOT NULL
    ORDER BY attempt DESC, ended_at DESC
    LIMIT 1
) AS failed
GROUP BY job.class_name, failed.error ->> 'type'
ORDER BY max(failed.ended_at) DESC, job.class_name, failed.error ->> 'type'
LIMIT 100;

-- fold: merge the rows of each changed group into one row, or none if its sum is 0. Rows that
-- another tree is folding are skipped. Returns the number of merged rows.
WITH changed AS MATERIALIZED (
    SELECT DISTINCT group_id
    FROM (
        SELECT group_id
        FROM jobsd.failure_counts
        WHERE NOT folded
        ORDER BY id
        LIMIT %(most)s
    ) AS unfolded
), part AS (
    DELETE FROM jobsd.failure_counts
    WHERE ctid = ANY (ARRAY(
        SELECT counted.ctid
        FROM changed
        JOIN jobsd.failure_counts AS counted ON counted.group_id = changed.group_id
        ORDER BY counted.id
        FOR UPDATE OF counted SKIP LOCKED
    ))
    RETURNING *
), folded AS (
    INSERT INTO jobsd.failure_counts (
        group_id, class_name, queue_name, error_type, pattern, jobs,
        first_failed_at, last_failed_at, last_id, message, folded
    )
    SELECT
        group_id, class_name, queue_name, error_type, pattern, sum(jobs),
        min(first_failed_at), max(last_failed_at),
        (array_agg(last_id ORDER BY last_failed_at DESC NULLS LAST, id DESC))[1],
        (array_agg(message ORDER BY last_failed_at DESC NULLS LAST, id DESC))[1],
        true
    FROM part
    GROUP BY group_id, class_name, queue_name, error_type, pattern
    HAVING sum(jobs) <> 0
)
SELECT count(*)
FROM part;
