-- dispatch: make the jobs that are due ready, in the order in which they are due, and say
-- in how many seconds the next one is. Their positions are new: behind what workers
-- have already passed. The rows that another dispatcher has locked are its business.
WITH due AS (
    SELECT ctid AS place, job_id, scheduled_at, priority, queue_name
    FROM jobsd.scheduled_executions
    WHERE scheduled_at <= now()
    ORDER BY scheduled_at, priority, job_id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM jobsd.scheduled_executions
    WHERE ctid = ANY (ARRAY(SELECT place FROM due))
), ordered AS (
    SELECT job_id, priority, queue_name
    FROM due
    ORDER BY scheduled_at, priority, job_id
), ready AS (
    INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
    SELECT job_id, nextval(pg_get_serial_sequence('jobsd.jobs', 'id')), priority, queue_name
    FROM ordered
), woken AS (
    SELECT pg_notify('jobsd.wake', 'ready ' || queue_name)
    FROM (SELECT DISTINCT queue_name FROM due) AS queues
    WHERE EXISTS (SELECT FROM jobsd.sleepers WHERE kind = 'worker')
)
SELECT
    (SELECT count(*) FROM due),
    (SELECT count(*) FROM woken),
    (
        SELECT extract(epoch FROM min(scheduled_at) - clock_timestamp())::float8
        FROM jobsd.scheduled_executions
        WHERE scheduled_at > now()
    );
