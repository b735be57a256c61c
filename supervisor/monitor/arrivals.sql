-- store: store how many jobs have come into queues. Another tree may have stored more
-- meanwhile, so no figure decreases. Rows are written in the order of their names, so two trees
-- cannot deadlock.
INSERT INTO jobsd.arrivals AS kept (queue_name, gone, enqueued)
SELECT given.name, given.gone, given.enqueued
FROM jsonb_to_recordset(%(rows)s::jsonb) AS given (name text, gone bigint, enqueued bigint)
ORDER BY given.name
ON CONFLICT (queue_name) DO UPDATE SET
    gone = greatest(kept.gone, excluded.gone),
    enqueued = greatest(kept.enqueued, excluded.enqueued),
    changed_at = excluded.changed_at
RETURNING queue_name, enqueued;

-- clear: delete the rows of queues into which no job has come for 30 days.
DELETE FROM jobsd.arrivals
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM jobsd.arrivals
    WHERE changed_at < now() - interval '30 days'
    LIMIT 10000
    FOR UPDATE SKIP LOCKED
));
