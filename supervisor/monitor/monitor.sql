-- survey: write the heartbeats of a whole tree, from the ages of its loops' last ticks, and the
-- times at which its running jobs started (a job's own row has that only once it has ended).
-- Returns the facts to judge: the rows that still exist, the rows of other trees, the processes
-- without a row that have claims, the last run of the heartbeat job, the rows that another
-- session holds locked (the other heartbeats don't wait for these), and whether everything is
-- paused. A heartbeat goes back only
-- after the server's clock has gone back (it must not stand until the old time comes again): a
-- process that has just written its own heartbeat may have stalled before, and we may not know yet
-- that it goes on.
WITH had AS (
    SELECT id
    FROM jobsd.processes
    WHERE id = ANY (%(ids)s::bigint[])
    ORDER BY id
    FOR NO KEY UPDATE SKIP LOCKED
), beaten AS (
    UPDATE jobsd.processes AS process
    SET last_heartbeat_at = greatest(
            now() - make_interval(secs => beat.age_s),
            CASE
                WHEN process.last_heartbeat_at <= clock_timestamp()
                    THEN process.last_heartbeat_at
            END
        ),
        supervisor_id = nullif(beat.supervisor_id, 0),
        machine = CASE WHEN beat.supervisor_id = 0 THEN %(machine)s::jsonb END,
        running = (
            SELECT jsonb_object_agg(job_id, extract(epoch FROM now())::float8 - job_age_s::float8)
            FROM jsonb_each_text(beat.running::jsonb) AS job (job_id, job_age_s)
        )
    FROM unnest(
        %(ids)s::bigint[], %(ages)s::float8[], %(supervisor_ids)s::bigint[], %(running)s::text[]
    ) AS beat (id, age_s, supervisor_id, running)
    JOIN had ON had.id = beat.id
    WHERE process.id = beat.id
    RETURNING process.id
), other AS (
    SELECT
        json_build_array(
            id, kind, name, pid, hostname, extract(epoch FROM last_heartbeat_at),
            metadata ->> 'boot', metadata ->> 'namespace', metadata ->> 'started',
            metadata #>> '{supervisor,pid}', metadata #>> '{supervisor,started}',
            metadata ->> 'threads', metadata ->> 'journals',
            metadata ->> 'heartbeat_interval', metadata ->> 'process_alive_threshold',
            metadata ->> 'hang_timeout'
        ) AS row
    FROM jobsd.processes
    WHERE id <> ALL (%(ids)s::bigint[])
    ORDER BY id
    LIMIT 10000
), woken AS (
    -- A process that died while it registered as idle would make all enqueuers send notifications.
    DELETE FROM jobsd.sleepers AS sleeper
    WHERE NOT EXISTS (
        SELECT FROM jobsd.processes AS process WHERE process.id = sleeper.process_id
    )
), orphan AS (
    SELECT claim.process_id
    FROM jobsd.claims AS claim
    WHERE NOT EXISTS (
            SELECT FROM jobsd.processes AS process WHERE process.id = claim.process_id
        )
    GROUP BY claim.process_id
    ORDER BY claim.process_id
    LIMIT 1000
)
SELECT
    ARRAY(SELECT id FROM beaten),
    ARRAY(SELECT row FROM other),
    ARRAY(SELECT process_id FROM orphan),
    heartbeat.executed_at,
    extract(epoch FROM now() - heartbeat.executed_at)::float8,
    heartbeat.of_task_at,
    extract(epoch FROM now() - heartbeat.of_task_at)::float8,
    ARRAY(
        SELECT id
        FROM jobsd.processes
        WHERE id = ANY (%(ids)s::bigint[]) AND id NOT IN (SELECT id FROM beaten)
    ),
    EXISTS (SELECT FROM jobsd.pauses WHERE queue_name = '*')
FROM (
    SELECT
        (SELECT max(executed_at) FROM jobsd.heartbeat_logs) AS executed_at,
        (SELECT max(executed_at) FROM jobsd.heartbeat_logs WHERE task_key IS NOT NULL)
            AS of_task_at
) AS heartbeat;

-- leave: remove the rows of a tree that has ended, except for processes that still have claims.
WITH sleeper AS (
    DELETE FROM jobsd.sleepers WHERE process_id = ANY (%(ids)s::bigint[])
)
DELETE FROM jobsd.processes AS process
WHERE (
        process.id = ANY (%(ids)s::bigint[])
        OR process.supervisor_id = %(supervisor_id)s::bigint
        OR process.name = ANY (%(names)s::text[])
    )
    AND NOT EXISTS (SELECT FROM jobsd.claims AS claim WHERE claim.process_id = process.id)
RETURNING process.id;

-- heartbeat: return the time and the age of the heartbeat job's last run, and the same of its last
-- run that a recurring task enqueued.
SELECT
    executed_at, extract(epoch FROM now() - executed_at)::float8,
    of_task_at, extract(epoch FROM now() - of_task_at)::float8
FROM (
    SELECT
        (SELECT max(executed_at) FROM jobsd.heartbeat_logs) AS executed_at,
        (SELECT max(executed_at) FROM jobsd.heartbeat_logs WHERE task_key IS NOT NULL)
            AS of_task_at
) AS heartbeat;
