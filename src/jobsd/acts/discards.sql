-- discard: end some jobs that are scheduled, ready, blocked or, if so wanted, failed; returns which,
-- and the state that each had.
SELECT id, was, unblocked
FROM jobsd.discard_jobs(%(ids)s::bigint[], %(keep)s, %(reason)s::text, %(failed)s)
ORDER BY id;
