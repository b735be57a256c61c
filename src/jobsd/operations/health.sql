-- dispatch: return for how long the oldest scheduled job has been due: the delay of dispatchers.
SELECT greatest(0, extract(epoch FROM now() - min(scheduled_at)))::float8
FROM jobsd.scheduled_executions;

-- running: return the class of most jobs that some workers run, and the number of these jobs.
SELECT job.class_name, count(*)
FROM jobsd.processes AS process
CROSS JOIN LATERAL jsonb_object_keys(process.running) AS running (job_id)
JOIN jobsd.jobs AS job ON job.id = running.job_id::bigint
WHERE process.id = ANY (%(workers)s::bigint[])
    AND job.outcome IS NULL
GROUP BY job.class_name
ORDER BY count(*) DESC, job.class_name
LIMIT 1;

-- failed: count the failed attempts of the last `recent` minutes with the present one, and of the
-- minutes before them, up to `all`.
SELECT
    coalesce(sum(failed + retried) FILTER (WHERE is_recent), 0)::bigint,
    coalesce(sum(failed + retried) FILTER (WHERE NOT is_recent), 0)::bigint
FROM (
    SELECT
        failed,
        retried,
        minute >= date_trunc('minute', now()) - make_interval(mins => %(recent)s) AS is_recent
    FROM jobsd.history_minutes
    WHERE minute >= date_trunc('minute', now()) - make_interval(mins => %(all)s)
) AS hour;
