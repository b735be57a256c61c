-- discard: discard scheduled, ready, blocked and, on request, failed jobs; returns the discarded
-- jobs and the state that each had.
SELECT id, was, unblocked
FROM jobsd.discard_jobs(%(ids)s::bigint[], %(keep)s, %(reason)s::text, %(failed)s)
ORDER BY id;
