-- totals: count the jobs in each state; of very many those up to `most`, retries among the next
-- `scheduled` ones, and those that have ended among the `newest` jobs. `all_seen` says that there
-- are no others.
WITH retries AS MATERIALIZED (
    SELECT job_id
    FROM jobsd.scheduled_executions
    ORDER BY scheduled_at, priority, job_id
    LIMIT %(scheduled)s
), newest AS MATERIALIZED (
    SELECT outcome
    FROM jobsd.jobs
    ORDER BY id DESC
    LIMIT %(newest)s
)
SELECT
    (SELECT count(*) FROM (SELECT FROM jobsd.scheduled_executions LIMIT %(most)s) AS counted),
    (
        SELECT count(*)
        FROM retries
        JOIN jobsd.jobs AS job ON job.id = retries.job_id
        WHERE job.attempts > 0
    ),
    (SELECT count(*) FROM (SELECT FROM jobsd.all_ready_executions LIMIT %(most)s) AS counted),
    (SELECT count(*) FROM (SELECT FROM jobsd.blocked_executions LIMIT %(most)s) AS counted),
    (SELECT count(*) FROM (SELECT FROM jobsd.claimed_executions LIMIT %(most)s) AS counted),
    (SELECT count(*) FROM (SELECT FROM jobsd.failed_executions LIMIT %(most)s) AS counted),
    (SELECT count(*) FROM newest WHERE outcome = 'finished'),
    (SELECT count(*) FROM newest WHERE outcome = 'discarded'),
    (SELECT count(*) < %(newest)s FROM newest) AS all_seen;
