-- pick_any: pick the most urgent jobs of all queues that are not paused. Continues the
-- expressions of claims.sql; rows that another worker has locked are skipped. Each segment
-- of the index begins after the position that this worker has claimed last (see worker/cursor),
-- so that dead rows before it are not walked over again.
segment AS (
    SELECT after_priority, after_position, below_priority, below_position
    FROM unnest(
        %(after_priorities)s::integer[], %(after_positions)s::bigint[],
        %(below_priorities)s::bigint[], %(below_positions)s::bigint[]
    ) AS segment (after_priority, after_position, below_priority, below_position)
), picked AS (
    SELECT waiting.*, 0::bigint AS turn
    FROM segment
    CROSS JOIN LATERAL (
        SELECT ctid AS place, job_id, priority, position
        FROM jobsd.ready_executions
        WHERE (priority, position) > (segment.after_priority, segment.after_position)
            AND (priority, position) < (segment.below_priority, segment.below_position)
            AND queue_name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
        ORDER BY priority, position
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ) AS waiting
    LIMIT %(limit)s
);

-- pick_named: the same from a list of queues: the first one's jobs before the second's.
segment AS (
    SELECT
        queue_name, after_priority, after_position, below_priority, below_position, turn
    FROM unnest(
        %(names)s::text[], %(after_priorities)s::integer[], %(after_positions)s::bigint[],
        %(below_priorities)s::bigint[], %(below_positions)s::bigint[]
    ) WITH ORDINALITY AS segment (
        queue_name, after_priority, after_position, below_priority, below_position, turn
    )
    WHERE queue_name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
    ORDER BY turn
), picked AS (
    SELECT waiting.*, segment.turn
    FROM segment
    CROSS JOIN LATERAL (
        SELECT ctid AS place, job_id, priority, position
        FROM jobsd.ready_executions
        WHERE queue_name = segment.queue_name
            AND (priority, position) > (segment.after_priority, segment.after_position)
            AND (priority, position) < (segment.below_priority, segment.below_position)
        ORDER BY priority, position
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ) AS waiting
    LIMIT %(limit)s
);

-- pick_each: pick the most urgent jobs of these queues, like pick_any. It serves when paused queues
-- hold many jobs, which pick_any would skip each time. It looks at a few more jobs than are wanted,
-- because other workers may have locked the first ones.
segment AS (
    SELECT queue_name, after_priority, after_position, below_priority, below_position
    FROM unnest(
        %(names)s::text[], %(after_priorities)s::integer[], %(after_positions)s::bigint[],
        %(below_priorities)s::bigint[], %(below_positions)s::bigint[]
    ) AS segment (
        queue_name, after_priority, after_position, below_priority, below_position
    )
    WHERE queue_name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
), candidate AS (
    SELECT waiting.*
    FROM segment
    CROSS JOIN LATERAL (
        SELECT ctid AS place, priority, position
        FROM jobsd.ready_executions
        WHERE queue_name = segment.queue_name
            AND (priority, position) > (segment.after_priority, segment.after_position)
            AND (priority, position) < (segment.below_priority, segment.below_position)
        ORDER BY priority, position
        LIMIT %(limit)s + 1000
    ) AS waiting
    ORDER BY waiting.priority, waiting.position
    LIMIT %(limit)s + 1000
), picked AS (
    SELECT
        ready.ctid AS place, ready.job_id, ready.priority, ready.position, 0::bigint AS turn
    FROM candidate
    JOIN jobsd.ready_executions AS ready ON ready.ctid = candidate.place
    ORDER BY candidate.priority, candidate.position
    LIMIT %(limit)s
    FOR UPDATE OF ready SKIP LOCKED
);

-- pick_parked: pick the most urgent jobs of some lanes: jobs that were set aside, and whose classes
-- this worker knows.
segment AS (
    SELECT queue_name, lane, turn
    FROM unnest(%(queues)s::text[], %(lanes)s::text[], %(turns)s::bigint[])
        AS segment (queue_name, lane, turn)
    WHERE queue_name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
), picked AS (
    SELECT waiting.*, segment.turn
    FROM segment
    CROSS JOIN LATERAL (
        SELECT ctid AS place, job_id, priority, position
        FROM jobsd.parked_executions
        WHERE queue_name = segment.queue_name AND lane = segment.lane
        ORDER BY priority, position
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ) AS waiting
    ORDER BY segment.turn, waiting.priority, waiting.position
    LIMIT %(limit)s
), taken AS (
    DELETE FROM jobsd.parked_executions
    WHERE ctid = ANY (ARRAY(SELECT place FROM picked))
    RETURNING job_id
);

-- take: take the picked jobs. Rows are deleted by the ctid at which they were locked: by their ids,
-- a plan made on an empty table read 27 times as many pages. A row that another session has just
-- changed has a new ctid that this snapshot does not show: it stays.
taken AS (
    DELETE FROM jobsd.ready_executions
    WHERE ctid = ANY (ARRAY(SELECT place FROM picked))
    RETURNING job_id
);

-- hold: claim the taken jobs. The first row of the answer has the id of the claim, the number of
-- its jobs, the order in which they start if it is not that of their ids, and the claims whose
-- successes were recorded (as text, which the driver does not parse). Only deleted rows are
-- claimed. (IS TRUE: looked up in a hash.) If the stored arguments of all jobs exceed `budget`,
-- arguments above `share` are left out: no process could bear 500 of 1 MB. (The sum is computed
-- only if there are arguments above `share`; the size of out-of-line values is known without
-- reading them.)
held AS (
    SELECT * FROM picked WHERE (job_id IN (SELECT job_id FROM taken)) IS TRUE
), claim AS (
    INSERT INTO jobsd.claims (id, process_id, job_ids)
    SELECT %(claim_id)s, %(process_id)s, array_agg(job_id ORDER BY turn, priority, position)
    FROM held
    HAVING count(*) > 0
    RETURNING id
), answered AS (
    SELECT
        (SELECT id FROM claim) AS claim_id,
        whole.size,
        CASE WHEN NOT whole.by_id THEN (
            SELECT string_agg(
                concat_ws(' ', job_id, priority, position), ','
                ORDER BY turn, priority, position
            )
            FROM held
        ) END AS places,
        (SELECT string_agg(id::text, ',') FROM fenced) AS recorded
    FROM (
        SELECT
            count(*) AS size,
            bool_and(
                position = job_id
                AND priority = (SELECT priority FROM held LIMIT 1)
                AND turn = (SELECT turn FROM held LIMIT 1)
            ) AS by_id
        FROM held
    ) AS whole
);

-- jobs: end a claim: return the answer, and behind it the jobs, in the order of their ids. All jobs
-- are found by one search of the index: a search for each would be a tenth of the server's work.
SELECT
    claim_id, size, recorded, places, NULL, NULL::integer, NULL::integer, NULL::float8,
    NULL::text, NULL::integer, NULL::bigint, NULL::text, NULL::float8, NULL::float8, NULL::bigint
FROM answered
UNION ALL
(
    SELECT
        (SELECT id FROM claim),
        job.id, job.class_name,
        CASE
            WHEN pg_column_size(job.arguments) <= %(share)s OR (
                SELECT sum(pg_column_size(every.arguments))
                FROM jobsd.jobs AS every
                WHERE every.id = ANY (ARRAY(SELECT job_id FROM held))
            ) <= %(budget)s
                THEN job.arguments::text
            ELSE ''
        END,
        job.queue_name, job.attempts, job.max_attempts,
        %(asked_at)s - date_part('epoch', now() - coalesce(job.scheduled_at, job.created_at)),
        job.concurrency_key, (SELECT priority FROM held LIMIT 1), job.id, job.context::text,
        -- Behind the columns that most jobs have: only jobs that expire have this row.
        CASE WHEN job.expires_in IS NOT NULL THEN (
            SELECT %(asked_at)s + date_part('epoch', expiration.expires_at - now())
            FROM jobsd.expirations AS expiration
            WHERE expiration.job_id = job.id
        ) END,
        date_part('epoch', now() - job.set_aside_at),
        (date_part('epoch', job.created_at) * 1000000)::bigint
    FROM jobsd.jobs AS job
    WHERE job.id = ANY (ARRAY(SELECT job_id FROM held))
    ORDER BY job.id
);

-- survey: list the queues of some prefixes that have ready jobs, limited ones among them, and are
-- not paused, by skipping from one to the next. The limit comes last: queues of others, and paused
-- ones, may be any number.
WITH RECURSIVE known AS (
    (SELECT queue_name FROM jobsd.ready_executions ORDER BY queue_name LIMIT 1)
    UNION ALL
    SELECT (
        SELECT waiting.queue_name
        FROM jobsd.ready_executions AS waiting
        WHERE waiting.queue_name > known.queue_name
        ORDER BY waiting.queue_name
        LIMIT 1
    )
    FROM known
    WHERE known.queue_name IS NOT NULL
), limited AS (
    (
        SELECT queue_name
        FROM jobsd.blocked_executions
        WHERE position IS NOT NULL
        ORDER BY queue_name
        LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT waiting.queue_name
        FROM jobsd.blocked_executions AS waiting
        WHERE waiting.position IS NOT NULL AND waiting.queue_name > limited.queue_name
        ORDER BY waiting.queue_name
        LIMIT 1
    )
    FROM limited
    WHERE limited.queue_name IS NOT NULL
)
SELECT queue_name
FROM (SELECT queue_name FROM known UNION SELECT queue_name FROM limited) AS known
WHERE
    EXISTS (
        SELECT FROM unnest(%(prefixes)s::text[]) AS wanted (prefix)
        WHERE starts_with(known.queue_name, wanted.prefix)
    )
    AND NOT EXISTS (
        SELECT FROM jobsd.pauses AS pause
        WHERE pause.queue_name = known.queue_name
    )
ORDER BY queue_name
LIMIT %(limit)s;

-- paused_many: return whether paused queues hold many ready jobs. The inner limit keeps the planner
-- from walking all ready jobs to find those of paused queues.
SELECT count(*) = %(many)s
FROM (
    SELECT
    FROM jobsd.pauses AS pause
    CROSS JOIN LATERAL (
        SELECT FROM jobsd.ready_executions AS ready
        WHERE ready.queue_name = pause.queue_name
        LIMIT %(many)s
    ) AS ready
    LIMIT %(many)s
) AS held;
