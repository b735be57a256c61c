-- publish: store the definitions of classes, in the order of their names, because other processes
-- store theirs at the same time.
INSERT INTO jobsd.definitions AS known
SELECT mine.*
FROM jsonb_array_elements(%(definitions)s::jsonb) AS given (each)
CROSS JOIN LATERAL jsonb_populate_record(
    NULL::jobsd.definitions, given.each || jsonb_build_object('published_at', now())
) AS mine
ORDER BY mine.class_name
ON CONFLICT (class_name) DO UPDATE SET (
        queue_name, priority, max_attempts, retries_crash, expires_in, timeout, kill_after,
        result_ttl, positional, concurrency, uniqueness, published_at
    ) = ROW (
        excluded.queue_name, excluded.priority, excluded.max_attempts, excluded.retries_crash,
        excluded.expires_in, excluded.timeout, excluded.kill_after, excluded.result_ttl,
        excluded.positional, excluded.concurrency, excluded.uniqueness,
        excluded.published_at
    )
WHERE to_jsonb(known) - 'published_at' IS DISTINCT FROM to_jsonb(excluded) - 'published_at';

-- positional: list the names of positional arguments that workers have published, by class.
SELECT class_name, positional
FROM jobsd.definitions
WHERE positional IS NOT NULL
ORDER BY class_name
LIMIT 10000;
