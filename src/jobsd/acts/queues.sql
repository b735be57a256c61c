-- pause: stop claims from a queue; return whether it was not paused before, its reason now, and
-- its reason before.
WITH before AS (
    SELECT reason
    FROM jobsd.pauses
    WHERE queue_name = %(name)s
)
INSERT INTO jobsd.pauses AS pause (queue_name, reason, created_by)
VALUES (%(name)s, %(reason)s, %(by)s)
ON CONFLICT (queue_name) DO UPDATE
SET reason = coalesce(excluded.reason, pause.reason)
RETURNING xmax = 0, reason, (SELECT reason FROM before);

-- resume: let workers claim from a queue again. All workers are notified, because jobs of the
-- queue may lie before their claim cursors.
WITH resumed AS (
    DELETE FROM jobsd.pauses
    WHERE queue_name = %(name)s
    RETURNING queue_name
)
SELECT queue_name, pg_notify('jobsd.wake', 'resumed ' || queue_name)
FROM resumed;

-- pauses: list the queues that are paused, without the pause of everything.
SELECT queue_name, reason, created_by, created_at
FROM jobsd.pauses
WHERE queue_name <> '*'
ORDER BY queue_name
LIMIT 10000;

-- size: count the ready jobs of a queue.
SELECT count(*)
FROM jobsd.all_ready_executions
WHERE queue_name = %(name)s;

-- known: return whether a queue has ready jobs, or one of the latest 10,000 jobs was in it.
SELECT
    EXISTS (SELECT FROM jobsd.all_ready_executions WHERE queue_name = %(name)s)
    OR EXISTS (
        SELECT
        FROM (SELECT queue_name FROM jobsd.jobs ORDER BY id DESC LIMIT 10000) AS latest
        WHERE queue_name = %(name)s
    );

-- latency: return for how long the oldest ready job of a queue has waited. The first job of each
-- priority, and of each priority in a lane, is its oldest one. Index skips find these jobs, at most
-- 10,000 in each table. Not through a view: see `ready` in operations/depths.sql.
WITH RECURSIVE first AS (
    (
        SELECT priority, job_id, 1 AS turn
        FROM jobsd.ready_executions
        WHERE queue_name = %(name)s
        ORDER BY priority, position
        LIMIT 1
    )
    UNION ALL
    SELECT following.priority, following.job_id, first.turn + 1
    FROM first
    CROSS JOIN LATERAL (
        SELECT priority, job_id
        FROM jobsd.ready_executions
        WHERE queue_name = %(name)s AND priority > first.priority
        ORDER BY priority, position
        LIMIT 1
    ) AS following
    WHERE first.turn < 10000
), parked AS (
    (
        SELECT lane, priority, job_id, 1 AS turn
        FROM jobsd.parked_executions
        WHERE queue_name = %(name)s
        ORDER BY lane, priority, position
        LIMIT 1
    )
    UNION ALL
    SELECT following.*, parked.turn + 1
    FROM parked
    CROSS JOIN LATERAL (
        SELECT lane, priority, job_id
        FROM jobsd.parked_executions
        WHERE queue_name = %(name)s AND (lane, priority) > (parked.lane, parked.priority)
        ORDER BY lane, priority, position
        LIMIT 1
    ) AS following
    WHERE parked.turn < 10000
), limited AS (
    (
        SELECT priority, job_id, 1 AS turn
        FROM jobsd.blocked_executions
        WHERE queue_name = %(name)s AND position IS NOT NULL
        ORDER BY priority, position
        LIMIT 1
    )
    UNION ALL
    SELECT following.priority, following.job_id, limited.turn + 1
    FROM limited
    CROSS JOIN LATERAL (
        SELECT priority, job_id
        FROM jobsd.blocked_executions
        WHERE queue_name = %(name)s AND position IS NOT NULL AND priority > limited.priority
        ORDER BY priority, position
        LIMIT 1
    ) AS following
    WHERE limited.turn < 10000
)
SELECT coalesce(
    extract(epoch FROM now() - min(greatest(job.created_at, job.scheduled_at))), 0
)::float8
FROM jobsd.jobs AS job
WHERE job.id = ANY (ARRAY(
    SELECT job_id FROM first
    UNION ALL
    SELECT job_id FROM parked
    UNION ALL
    SELECT job_id FROM limited
));

-- last_position: return the last position of a queue: jobs that come later are not cleared.
SELECT max(position)
FROM jobsd.all_ready_executions
WHERE queue_name = %(name)s;

-- clear: discard some ready jobs of a queue; returns the number of found jobs, and of discarded
-- ones. Jobs that are being claimed are skipped.
WITH common AS (
    SELECT job_id
    FROM jobsd.ready_executions
    WHERE queue_name = %(name)s AND position <= %(until)s
    ORDER BY priority, position
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), parked AS (
    SELECT job_id
    FROM jobsd.parked_executions
    WHERE queue_name = %(name)s AND position <= %(until)s
    ORDER BY lane, priority, position
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), limited AS (
    SELECT job_id
    FROM jobsd.blocked_executions
    WHERE queue_name = %(name)s AND position <= %(until)s AND position IS NOT NULL
    ORDER BY priority, position
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), found AS (
    SELECT job_id FROM common
    UNION ALL
    SELECT job_id FROM parked
    UNION ALL
    SELECT job_id FROM limited
)
SELECT (SELECT count(*) FROM found), count(*), coalesce(max(unblocked), 0)
FROM jobsd.discard_jobs(ARRAY(SELECT job_id FROM found), %(keep)s, NULL, false);
