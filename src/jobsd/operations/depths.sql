-- ready: return for each queue the number of ready jobs and the wait of the oldest one. Names come
-- from index skips, over queues and priorities, over lanes, and over limited jobs; the first job of
-- each is its oldest; counts come from the same index. It makes at most 10,000 skips, counts at
-- most `most` rows of a queue, and counts nothing if `together` does. Through a view, each skip would
-- sort the parked jobs and the limited ones: 49 ms instead of 0.3, of 100,000 ready jobs.
WITH RECURSIVE pair AS (
    (
        SELECT queue_name, priority, job_id, 1 AS turn
        FROM jobsd.ready_executions
        ORDER BY queue_name, priority, position
        LIMIT 1
    )
    UNION ALL
    SELECT following.queue_name, following.priority, following.job_id, pair.turn + 1
    FROM pair
    CROSS JOIN LATERAL (
        SELECT queue_name, priority, job_id
        FROM jobsd.ready_executions
        WHERE (queue_name, priority) > (pair.queue_name, pair.priority)
        ORDER BY queue_name, priority, position
        LIMIT 1
    ) AS following
    WHERE pair.turn < 10000
), parked AS (
    (
        SELECT queue_name, lane, priority, job_id, 1 AS turn
        FROM jobsd.parked_executions
        ORDER BY queue_name, lane, priority, position
        LIMIT 1
    )
    UNION ALL
    SELECT following.*, parked.turn + 1
    FROM parked
    CROSS JOIN LATERAL (
        SELECT queue_name, lane, priority, job_id
        FROM jobsd.parked_executions
        WHERE (queue_name, lane, priority) > (parked.queue_name, parked.lane, parked.priority)
        ORDER BY queue_name, lane, priority, position
        LIMIT 1
    ) AS following
    WHERE parked.turn < 10000
), limited AS (
    (
        SELECT queue_name, priority, job_id, 1 AS turn
        FROM jobsd.blocked_executions
        WHERE position IS NOT NULL
        ORDER BY queue_name, priority, position
        LIMIT 1
    )
    UNION ALL
    SELECT following.queue_name, following.priority, following.job_id, limited.turn + 1
    FROM limited
    CROSS JOIN LATERAL (
        SELECT queue_name, priority, job_id
        FROM jobsd.blocked_executions
        WHERE position IS NOT NULL
            AND (queue_name, priority) > (limited.queue_name, limited.priority)
        ORDER BY queue_name, priority, position
        LIMIT 1
    ) AS following
    WHERE limited.turn < 10000
)
SELECT
    first.queue_name,
    CASE
        WHEN %(together_max)s <= (
            SELECT sum(greatest(reltuples, 0))
            FROM pg_class
            WHERE oid = ANY (ARRAY[
                'jobsd.ready_executions'::regclass,
                'jobsd.parked_executions'::regclass,
                'jobsd.blocked_executions'::regclass
            ])
        )
            THEN (
                SELECT count(*)
                FROM (
                    -- From the end: the index still has the rows of recently claimed jobs at its
                    -- start.
                    (
                        SELECT FROM jobsd.ready_executions
                        WHERE queue_name = first.queue_name
                        ORDER BY priority DESC, position DESC
                        LIMIT %(most)s
                    )
                    UNION ALL
                    (
                        SELECT FROM jobsd.parked_executions
                        WHERE queue_name = first.queue_name
                        ORDER BY lane DESC, priority DESC, position DESC
                        LIMIT %(most)s
                    )
                    UNION ALL
                    (
                        SELECT FROM jobsd.blocked_executions
                        WHERE queue_name = first.queue_name AND position IS NOT NULL
                        ORDER BY priority DESC, position DESC
                        LIMIT %(most)s
                    )
                    LIMIT %(most)s
                ) AS counted
            )
    END,
    coalesce(
        extract(epoch FROM now() - min(greatest(job.created_at, job.scheduled_at))), 0
    )::float8
FROM (
    SELECT queue_name, job_id FROM pair
    UNION ALL
    SELECT queue_name, job_id FROM parked
    UNION ALL
    SELECT queue_name, job_id FROM limited
) AS first
LEFT JOIN jobsd.jobs AS job ON job.id = first.job_id
GROUP BY first.queue_name
ORDER BY first.queue_name;

-- together: count the ready jobs of each queue, in one pass over all of them. Of many jobs, the
-- server shares this pass among its parallel workers, unlike counts of one queue after the other.
-- There are no rows if the server estimates `together_max` jobs or more, because nothing bounds this
-- pass.
SELECT queue_name, count(*)
FROM jobsd.places
WHERE state = 'ready' AND %(together_max)s > (
    SELECT sum(greatest(reltuples, 0))
    FROM pg_class
    WHERE oid = ANY (ARRAY[
        'jobsd.ready_executions'::regclass,
        'jobsd.parked_executions'::regclass,
        'jobsd.blocked_executions'::regclass
    ])
)
GROUP BY queue_name
ORDER BY queue_name
LIMIT 10000;

-- elsewhere: count the jobs of each queue in the other states, and return the age of the oldest
-- claim. These jobs are few as a rule; counts stop at `most` (and at 100,000, except for scheduled
-- jobs). Failed jobs were counted when they failed.
SELECT queue_name, 'scheduled', count(*), NULL::float8
FROM (SELECT queue_name FROM jobsd.places WHERE state = 'scheduled' LIMIT %(most)s) AS counted
GROUP BY queue_name
UNION ALL
SELECT queue_name, 'blocked', count(*), NULL
FROM (
    SELECT queue_name FROM jobsd.places WHERE state = 'blocked' LIMIT least(%(most)s, 100000)
) AS counted
GROUP BY queue_name
UNION ALL
SELECT queue_name, 'claimed', count(*), extract(epoch FROM now() - min(created_at))::float8
FROM (
    -- One search of the index finds all jobs of a claim, because they lie together.
    SELECT job.queue_name, claims.created_at
    FROM jobsd.claims
    CROSS JOIN LATERAL (
        SELECT queue_name FROM jobsd.jobs WHERE id = ANY (claims.job_ids)
    ) AS job
    LIMIT least(%(most)s, 100000)
) AS claimed
GROUP BY queue_name
UNION ALL
SELECT queue_name, 'failed', sum(jobs)::bigint, NULL
FROM (SELECT queue_name, jobs FROM jobsd.failure_counts LIMIT 100000) AS counted
GROUP BY queue_name
HAVING sum(jobs) > 0;

-- idle: return the queues, busy or not, that workers and enabled tasks name, and those of the
-- latest 10,000 jobs. Patterns of workers (`mail*`) name no queue.
SELECT queue_name FROM (SELECT queue_name FROM jobsd.jobs ORDER BY id DESC LIMIT 10000) AS latest
UNION
SELECT selected
FROM jobsd.processes
CROSS JOIN LATERAL string_to_table(metadata ->> 'queues', ',') AS selected
WHERE kind = 'worker' AND right(selected, 1) <> '*'
UNION
SELECT queue_name FROM jobsd.recurring_tasks WHERE enabled AND queue_name IS NOT NULL
ORDER BY 1
LIMIT 10000;
