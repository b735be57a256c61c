-- publish: say how some classes are defined, in the order of their names, since others do the same.
INSERT INTO jobsd.definitions AS known (
    class_name, queue_name, priority, max_attempts, retries_crash, expires_in, timeout,
    concurrency, uniqueness
)
SELECT
    class_name, queue_name, priority, max_attempts, retries_crash,
    make_interval(secs => expires_in_s), make_interval(secs => timeout_s), concurrency, uniqueness
FROM jsonb_to_recordset(%(definitions)s::jsonb) AS mine (
    class_name text, queue_name text, priority integer, max_attempts integer,
    retries_crash boolean, expires_in_s float8, timeout_s float8, concurrency jsonb,
    uniqueness jsonb
)
ORDER BY class_name
ON CONFLICT (class_name) DO UPDATE SET
    queue_name = excluded.queue_name,
    priority = excluded.priority,
    max_attempts = excluded.max_attempts,
    retries_crash = excluded.retries_crash,
    expires_in = excluded.expires_in,
    timeout = excluded.timeout,
    concurrency = excluded.concurrency,
    uniqueness = excluded.uniqueness,
    published_at = now()
WHERE (
        known.queue_name, known.priority, known.max_attempts, known.retries_crash,
        known.expires_in, known.timeout, known.concurrency, known.uniqueness
    ) IS DISTINCT FROM (
        excluded.queue_name, excluded.priority, excluded.max_attempts, excluded.retries_crash,
        excluded.expires_in, excluded.timeout, excluded.concurrency, excluded.uniqueness
    );
