-- knows: return a worker that has published that it knows a class, if there is one.
SELECT worker.process_id
FROM jobsd.worker_classes AS worker
WHERE jobsd.lane_of(%(class_name)s) = ANY (worker.lanes)
ORDER BY worker.process_id
LIMIT 1;

-- quiet: mark a worker as quiet: it claims no more jobs.
UPDATE jobsd.processes
SET metadata = metadata || '{"quiet": true}'
WHERE id = %(id)s
RETURNING id;
