-- minutes: sum the history of one queue or all by steps of some minutes.
SELECT
    to_timestamp(floor(extract(epoch FROM minute) / %(step_s)s) * %(step_s)s) AS step,
    sum(finished)::bigint, sum(failed)::bigint, sum(retried)::bigint, sum(discarded)::bigint,
    sum(wait_s), sum(run_s),
    ARRAY[
        sum(waits[1]), sum(waits[2]), sum(waits[3]), sum(waits[4]),
        sum(waits[5]), sum(waits[6]), sum(waits[7]), sum(waits[8]),
        sum(waits[9]), sum(waits[10]), sum(waits[11]), sum(waits[12])
    ]::bigint[],
    ARRAY[
        sum(runs[1]), sum(runs[2]), sum(runs[3]), sum(runs[4]),
        sum(runs[5]), sum(runs[6]), sum(runs[7]), sum(runs[8]),
        sum(runs[9]), sum(runs[10]), sum(runs[11]), sum(runs[12])
    ]::bigint[]
FROM jobsd.history_minutes
WHERE minute >= now() - make_interval(secs => %(span_s)s)
    AND (%(name)s::text IS NULL OR queue_name = %(name)s)
GROUP BY step
ORDER BY step
LIMIT 1000;

-- queues: sum the finished jobs by queue.
SELECT queue_name, sum(finished)::bigint
FROM jobsd.history_minutes
WHERE minute >= now() - make_interval(secs => %(span_s)s)
GROUP BY queue_name
ORDER BY queue_name
LIMIT 10000;

-- hours: sum the history of one class or all by steps of some hours.
SELECT
    to_timestamp(floor(extract(epoch FROM hour) / %(step_s)s) * %(step_s)s) AS step,
    sum(finished)::bigint, sum(failed)::bigint, sum(retried)::bigint, sum(discarded)::bigint,
    sum(wait_s), sum(run_s),
    ARRAY[
        sum(waits[1]), sum(waits[2]), sum(waits[3]), sum(waits[4]),
        sum(waits[5]), sum(waits[6]), sum(waits[7]), sum(waits[8]),
        sum(waits[9]), sum(waits[10]), sum(waits[11]), sum(waits[12])
    ]::bigint[],
    ARRAY[
        sum(runs[1]), sum(runs[2]), sum(runs[3]), sum(runs[4]),
        sum(runs[5]), sum(runs[6]), sum(runs[7]), sum(runs[8]),
        sum(runs[9]), sum(runs[10]), sum(runs[11]), sum(runs[12])
    ]::bigint[]
FROM jobsd.history_hours
WHERE hour >= now() - make_interval(secs => %(span_s)s)
    AND (%(name)s::text IS NULL OR class_name = %(name)s)
GROUP BY step
ORDER BY step
LIMIT 1000;

-- classes: sum the history by class, the class with the most failures first.
SELECT
    class_name,
    sum(finished)::bigint, sum(failed)::bigint, sum(retried)::bigint, sum(discarded)::bigint,
    sum(wait_s), sum(run_s),
    ARRAY[
        sum(waits[1]), sum(waits[2]), sum(waits[3]), sum(waits[4]),
        sum(waits[5]), sum(waits[6]), sum(waits[7]), sum(waits[8]),
        sum(waits[9]), sum(waits[10]), sum(waits[11]), sum(waits[12])
    ]::bigint[],
    ARRAY[
        sum(runs[1]), sum(runs[2]), sum(runs[3]), sum(runs[4]),
        sum(runs[5]), sum(runs[6]), sum(runs[7]), sum(runs[8]),
        sum(runs[9]), sum(runs[10]), sum(runs[11]), sum(runs[12])
    ]::bigint[]
FROM jobsd.history_hours
WHERE hour >= date_trunc('hour', now() - make_interval(secs => %(span_s)s))
GROUP BY class_name
ORDER BY sum(failed) DESC, sum(retried) DESC, sum(finished) DESC, class_name
LIMIT 1000;
