-- pause: pause everything; return whether it was not paused before. All monitors are notified.
INSERT INTO jobsd.pauses AS pause (queue_name, reason, created_by)
VALUES ('*', %(reason)s, %(by)s)
ON CONFLICT (queue_name) DO UPDATE
SET reason = coalesce(excluded.reason, pause.reason)
RETURNING xmax = 0, pg_notify('jobsd.kill', 'everything');

-- resume: end the pause; return a row if there was one. Without `catch_up`, the instants of all
-- recurring tasks count from now on. All monitors are notified.
WITH resumed AS (
    DELETE FROM jobsd.pauses
    WHERE queue_name = '*'
    RETURNING queue_name
), planned AS (
    UPDATE jobsd.recurring_tasks
    SET planned_from = now(), updated_at = now()
    WHERE NOT %(catch_up)s
        AND EXISTS (SELECT FROM resumed)
)
SELECT pg_notify('jobsd.kill', 'everything')
FROM resumed;

-- paused: read the pause of everything.
SELECT reason, created_by, created_at
FROM jobsd.pauses
WHERE queue_name = '*';
