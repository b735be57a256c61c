-- recorded: return which of these outcomes are in the tables as this process has sent them. An
-- attempt has the name of the process. An attempt and a success have the duration to the
-- microsecond, while a process that recovers the job knows at most the start. A snooze has its
-- pause since the start, which a journal does not have: it is read at another time. If no trace
-- is left (the row of the job is deleted, or the job was released or set aside), and for a
-- snooze in a journal, then no other process has settled it as long as the row of this process
-- exists: that row is removed when others settle its claims. Also returns which jobs ended in
-- another way than was sent, because they were cancelled.
SELECT
    given.claim_id, given.job_id,
    given.outcome <> 'finished'
        AND (job.reason IS NOT DISTINCT FROM 'cancelled' AND job.id IS NOT NULL
            OR job.id IS NULL AND given.outcome NOT IN ('discarded', 'expired'))
FROM unnest(
    %(claim_ids)s::bigint[], %(job_ids)s::bigint[], %(process_ids)s::bigint[],
    %(attempts)s::integer[], %(outcomes)s::text[],
    %(wait_s)s::float8[], %(started_s)s::float8[], %(ended_s)s::float8[]
) AS given (
    claim_id, job_id, process_id, attempt, outcome, wait_s, started_s, ended_s
)
LEFT JOIN jobsd.jobs AS job ON job.id = given.job_id
WHERE CASE
    WHEN given.outcome IN ('released', 'set_aside')
        OR (job.id IS NULL AND NOT %(keep)s)
        OR (job.reason = 'cancelled' AND given.outcome = 'snoozed')
        THEN EXISTS (SELECT FROM jobsd.processes AS process WHERE process.id = given.process_id)
    WHEN given.outcome = 'finished'
        THEN job.outcome = 'finished'
            AND job.attempts = given.attempt
            AND abs(
                extract(epoch FROM job.finished_at - job.started_at)::float8
                - (given.started_s - given.ended_s)
            ) < 3e-6
    WHEN given.outcome = 'expired' THEN job.reason IN ('expired', 'cancelled')
    WHEN given.outcome = 'snoozed'
        THEN EXISTS (SELECT FROM jobsd.processes AS process WHERE process.id = given.process_id)
            OR abs(
                extract(epoch FROM job.scheduled_at - job.started_at)::float8
                - (given.wait_s + given.started_s)
            ) < 3e-6
    ELSE EXISTS (
        SELECT FROM jobsd.attempts AS attempt
        WHERE attempt.job_id = given.job_id
            AND attempt.attempt = given.attempt
            AND attempt.process = %(process)s
            AND attempt.error IS NOT NULL
            AND abs(
                extract(epoch FROM attempt.ended_at - attempt.started_at)::float8
                - (given.started_s - given.ended_s)
            ) < 3e-6
    )
END;
