-- store: store how many jobs have come into queues. Another tree may have stored more meanwhile,
-- so nothing goes back. Rows come in the order of their names: no two trees wait in a circle.
INSERT INTO jobsd.arrivals AS kept (queue_name, gone, enqueued)
SELECT given.name, given.gone, given.enqueued
FROM jsonb_to_recordset(%(rows)s::jsonb) AS given (name text, gone bigint, enqueued bigint)
ORDER BY given.name
ON CONFLICT (queue_name) DO UPDATE SET
    gone = greatest(kept.gone, excluded.gone),
    enqueued = greatest(kept.enqueued, excluded.enqueued),
    changed_at = excluded.changed_at
RETURNING queue_name, enqueued;

-- clear: forget queues into which nothing has come for long.
DELETE FROM jobsd.arrivals
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM jobsd.arrivals
    WHERE changed_at < now() - interval '30 days'
    LIMIT 10000
    FOR UPDATE SKIP LOCKED
));
