-- search: read the next jobs of one state, the newest first: the ready ones as it stands
-- here, others once their table is put in the place of all_ready_executions. Begins a
-- statement: `rows` or `ids` end it.
WITH place AS MATERIALIZED (
    SELECT job_id
    FROM jobsd.all_ready_executions AS source
    WHERE job_id < %(before)s
    ORDER BY job_id DESC
    LIMIT %(page)s
), seen AS MATERIALIZED (
    SELECT place.job_id, job.queue_name, job.class_name, job.outcome, job.created_at
    FROM place
    LEFT JOIN jobsd.jobs AS job ON job.id = place.job_id
), edge AS (
    SELECT
        min(job_id) AS last_id,
        count(*) AS size,
        min(created_at) AS oldest,
        -- Behind a page without a young one there is none: jobs are numbered as they come.
        coalesce(
            bool_or(created_at >= now() - make_interval(secs => %(since_s)s::float8)), true
        ) AS goes_on
    FROM seen
), meant AS MATERIALIZED (
    SELECT job_id
    FROM seen
    WHERE (%(outcome)s::text IS NULL OR outcome = %(outcome)s)
        AND (%(queue_name)s::text IS NULL OR queue_name = %(queue_name)s)
        AND (%(class_name)s::text IS NULL OR class_name LIKE %(class_name)s)
        AND (
            %(error)s::text IS NULL
            OR EXISTS (
                SELECT
                FROM jobsd.failed_executions AS failed
                WHERE failed.job_id = seen.job_id
                    AND concat(failed.error ->> 'type', ': ', failed.error ->> 'message')
                        LIKE %(error)s
            )
        )
        AND (
            %(error_type)s::text IS NULL
            OR EXISTS (
                SELECT
                FROM jobsd.failed_executions AS failed
                WHERE failed.job_id = seen.job_id AND failed.error ->> 'type' = %(error_type)s
            )
        )
        AND (
            %(since_s)s::float8 IS NULL
            OR created_at >= now() - make_interval(secs => %(since_s)s::float8)
        )
        AND (
            %(until_s)s::float8 IS NULL
            OR created_at < now() - make_interval(secs => %(until_s)s::float8)
        )
        AND (
            (%(key)s::text IS NULL AND %(arguments)s::text[] IS NULL)
            OR EXISTS (
                SELECT
                FROM jobsd.jobs AS job
                WHERE job.id = seen.job_id
                    AND (%(key)s::text IS NULL OR job.concurrency_key = %(key)s)
                    AND (
                        %(arguments)s::text[] IS NULL
                        OR job.arguments @> ANY (%(arguments)s::text[]::jsonb[])
                    )
                -- Else a plan may read all jobs once and hash their ids.
                OFFSET 0
            )
        )
        AND (
            %(host)s::text IS NULL
            OR EXISTS (
                SELECT
                FROM jobsd.processes AS process
                JOIN jobsd.claims ON claims.process_id = process.id
                WHERE process.hostname = %(host)s AND seen.job_id = ANY (claims.job_ids)
            )
        )
        AND (
            %(words)s::text[] IS NULL
            OR NOT EXISTS (
                SELECT
                FROM unnest(%(words)s::text[]) AS word
                WHERE seen.class_name NOT ILIKE word
                    AND seen.queue_name NOT ILIKE word
                    AND NOT EXISTS (
                        SELECT
                        FROM jobsd.failed_executions AS failed
                        WHERE failed.job_id = seen.job_id
                            AND concat(failed.error ->> 'type', ': ', failed.error ->> 'message')
                                ILIKE word
                    )
            )
        )
    ORDER BY job_id DESC
    LIMIT %(limit)s
);

-- rows: end a search with the jobs that are meant, and how far it has come. The claims, few and
-- long, are read once and not for each job, and only where one of these may be claimed.
claim AS MATERIALIZED (
    SELECT DISTINCT ON (member.job_id)
        member.job_id, claims.created_at, claims.process_id,
        process.name, process.pid, process.hostname,
        to_timestamp((process.running ->> member.job_id::text)::float8) AS started_at
    FROM jobsd.claims
    CROSS JOIN LATERAL unnest(claims.job_ids) AS member (job_id)
    LEFT JOIN jobsd.processes AS process ON process.id = claims.process_id
    WHERE %(outcome)s::text IS NULL
        AND (%(place)s::text IS NULL OR %(place)s::text = 'claimed')
        AND member.job_id IN (SELECT job_id FROM meant)
    ORDER BY member.job_id, claims.id
), wanted AS (
    SELECT
        job.id, job.class_name, job.queue_name, job.priority,
        coalesce(
            job.outcome,
            %(place)s::text,
            CASE
                WHEN EXISTS (SELECT FROM jobsd.failed_executions WHERE job_id = job.id)
                    THEN 'failed'
                WHEN EXISTS (SELECT FROM jobsd.all_ready_executions WHERE job_id = job.id)
                    THEN 'ready'
                WHEN EXISTS (SELECT FROM jobsd.scheduled_executions WHERE job_id = job.id)
                    THEN 'scheduled'
                WHEN EXISTS (SELECT FROM jobsd.blocked_executions WHERE job_id = job.id)
                    THEN 'blocked'
                WHEN claim.job_id IS NOT NULL THEN 'claimed'
                ELSE 'lost'
            END
        ) AS state,
        job.arguments, job.attempts, job.max_attempts, job.created_at,
        coalesce(
            (SELECT scheduled_at FROM jobsd.scheduled_executions WHERE job_id = job.id),
            job.scheduled_at
        ) AS scheduled_at,
        coalesce(claim.started_at, job.started_at) AS started_at, job.finished_at,
        (
            SELECT jsonb_build_object('type', error -> 'type', 'message', error -> 'message')
            FROM jobsd.failed_executions
            WHERE job_id = job.id
        ) AS error,
        claim.created_at AS claimed_at, claim.process_id, claim.name, claim.pid, claim.hostname
    FROM meant
    JOIN jobsd.jobs AS job ON job.id = meant.job_id
    LEFT JOIN claim ON claim.job_id = job.id
)
SELECT edge.last_id, edge.size, edge.oldest, edge.goes_on, wanted.*
FROM edge
LEFT JOIN wanted ON true
ORDER BY wanted.id DESC;

-- ids: end a search with the ids of the jobs that are meant, and how far it has come.
listed AS (
    SELECT coalesce(array_agg(job_id ORDER BY job_id DESC), '{}') AS ids
    FROM meant
)
SELECT edge.last_id, edge.size, edge.oldest, edge.goes_on, listed.ids
FROM edge
CROSS JOIN listed;
