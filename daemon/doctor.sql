-- clock: read the server's clock.
SELECT clock_timestamp();

-- notify: wake whoever listens; the word means nothing to the processes of a tree.
SELECT pg_notify('jobsd.wake', 'doctor');

-- connections: say how many connections there are, and how many others than a superuser
-- may have.
SELECT
    count(*),
    current_setting('max_connections')::integer
        - current_setting('superuser_reserved_connections')::integer
FROM pg_stat_activity
WHERE backend_type = 'client backend';
