-- clock: read the server's clock.
SELECT clock_timestamp();

-- is_standby: return whether this server is a standby, which replays the log of a primary.
SELECT pg_is_in_recovery();

-- notify: wake all listeners; the processes of a tree ignore this word.
SELECT pg_notify('jobsd.wake', 'doctor');

-- connections: return the number of connections, and the most that the server allows to roles other
-- than superusers.
SELECT
    count(*),
    current_setting('max_connections')::integer
        - current_setting('superuser_reserved_connections')::integer
FROM pg_stat_activity
WHERE backend_type = 'client backend';

-- settings: return these settings, as they are for this statement.
SELECT name, current_setting(name)
FROM unnest(%(names)s::text[]) AS name;

-- paused: list the paused queues that have ready jobs, those with the most jobs first; a count
-- stops at `most`.
SELECT pause.queue_name, pause.reason, pause.created_by, pause.created_at, waiting.jobs
FROM (
    SELECT queue_name, reason, created_by, created_at
    FROM jobsd.pauses
    WHERE queue_name <> '*'
    ORDER BY queue_name
    LIMIT 1000
) AS pause
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs
    FROM (
        SELECT
        FROM jobsd.all_ready_executions AS ready
        WHERE ready.queue_name = pause.queue_name
        LIMIT %(most)s
    ) AS counted
) AS waiting
WHERE waiting.jobs > 0
ORDER BY waiting.jobs DESC, pause.queue_name;

-- failed: count the failed jobs; the count stops at `most`.
SELECT count(*)
FROM (SELECT FROM jobsd.failed_executions LIMIT %(most)s) AS counted;
