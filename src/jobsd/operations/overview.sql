-- totals: count the jobs in each state. Counts stop at `most`; retries are counted among the next
-- `scheduled` jobs, ended jobs among the `newest` jobs and, if most of these still wait, among the
-- oldest. `all_seen` is true if there are no older jobs.
WITH retries AS MATERIALIZED (
    SELECT job_id
    FROM jobsd.scheduled_executions
    ORDER BY scheduled_at, priority, job_id
    LIMIT %(scheduled)s
), newest AS MATERIALIZED (
    SELECT
        count(*) AS jobs,
        min(id) AS first_id,
        count(*) FILTER (WHERE outcome = 'finished') AS finished,
        count(*) FILTER (WHERE outcome = 'discarded') AS discarded
    FROM (SELECT id, outcome FROM jobsd.jobs ORDER BY id DESC LIMIT %(newest)s) AS job
), oldest AS MATERIALIZED (
    SELECT
        count(*) FILTER (WHERE outcome = 'finished') AS finished,
        count(*) FILTER (WHERE outcome = 'discarded') AS discarded
    FROM (
        SELECT outcome
        FROM jobsd.jobs
        WHERE id < (SELECT first_id FROM newest)
        ORDER BY id
        LIMIT CASE
            WHEN (SELECT finished + discarded FROM newest) < least(%(most)s, %(newest)s)
                THEN least(%(most)s, %(newest)s)
            ELSE 0
        END
    ) AS job
)
SELECT
    (
        SELECT count(*)
        FROM (SELECT FROM jobsd.places WHERE state = 'scheduled' LIMIT %(most)s) AS counted
    ),
    (
        SELECT count(*)
        FROM retries
        JOIN jobsd.jobs AS job ON job.id = retries.job_id
        WHERE job.attempts > 0
    ),
    (
        SELECT count(*)
        FROM (SELECT FROM jobsd.places WHERE state = 'ready' LIMIT %(most)s) AS counted
    ),
    (
        SELECT count(*)
        FROM (SELECT FROM jobsd.places WHERE state = 'blocked' LIMIT %(most)s) AS counted
    ),
    (
        SELECT count(*)
        FROM (SELECT FROM jobsd.places WHERE state = 'claimed' LIMIT %(most)s) AS counted
    ),
    (
        SELECT count(*)
        FROM (SELECT FROM jobsd.places WHERE state = 'failed' LIMIT %(most)s) AS counted
    ),
    newest.finished + oldest.finished,
    newest.discarded + oldest.discarded,
    newest.jobs < %(newest)s AS all_seen
FROM newest
CROSS JOIN oldest;
