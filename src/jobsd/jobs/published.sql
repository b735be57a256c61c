-- publish: say how some classes are defined, in the order of their names, since others do the same.
INSERT INTO jobsd.definitions AS known (
    class_name, queue_name, priority, max_attempts, retries_crash, expires_in, timeout,
    kill_after, result_ttl, asynchronous, positional, concurrency, uniqueness
)
SELECT
    class_name, queue_name, priority, max_attempts, retries_crash,
    make_interval(secs => expires_in_s), make_interval(secs => timeout_s),
    make_interval(secs => kill_after_s), make_interval(secs => result_ttl_s), asynchronous,
    positional, concurrency, uniqueness
FROM jsonb_to_recordset(%(definitions)s::jsonb) AS mine (
    class_name text, queue_name text, priority integer, max_attempts integer,
    retries_crash boolean, expires_in_s float8, timeout_s float8, kill_after_s float8,
    result_ttl_s float8, asynchronous boolean, positional text[],
    concurrency jsonb, uniqueness jsonb
)
ORDER BY class_name
ON CONFLICT (class_name) DO UPDATE SET
    queue_name = excluded.queue_name,
    priority = excluded.priority,
    max_attempts = excluded.max_attempts,
    retries_crash = excluded.retries_crash,
    expires_in = excluded.expires_in,
    timeout = excluded.timeout,
    kill_after = excluded.kill_after,
    result_ttl = excluded.result_ttl,
    asynchronous = excluded.asynchronous,
    positional = excluded.positional,
    concurrency = excluded.concurrency,
    uniqueness = excluded.uniqueness,
    published_at = now()
WHERE (
        known.queue_name, known.priority, known.max_attempts, known.retries_crash,
        known.expires_in, known.timeout, known.kill_after, known.result_ttl, known.asynchronous,
        known.positional, known.concurrency, known.uniqueness
    ) IS DISTINCT FROM (
        excluded.queue_name, excluded.priority, excluded.max_attempts, excluded.retries_crash,
        excluded.expires_in, excluded.timeout, excluded.kill_after, excluded.result_ttl,
        excluded.asynchronous, excluded.positional, excluded.concurrency, excluded.uniqueness
    );

-- positional: what the workers have published of the names of positional arguments, by class.
SELECT class_name, positional
FROM jobsd.definitions
WHERE positional IS NOT NULL
ORDER BY class_name
LIMIT 10000;
