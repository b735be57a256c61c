-- all: list the recurring tasks, a page of them.
SELECT
    key, schedule, time_zone, class_name, command, arguments::text, queue_name, priority,
    tags, description, static, enabled AND disabled_at IS NULL, run_at_start, on_missed, overlap,
    source, named_by, disabled_by, planned_from, disabled_at, last_run_at, runs_count,
    created_at, updated_at
FROM jobsd.recurring_tasks
WHERE key > %(after)s
ORDER BY key
LIMIT %(page)s;

-- find: read one task.
SELECT
    key, schedule, time_zone, class_name, command, arguments::text, queue_name, priority,
    tags, description, static, enabled AND disabled_at IS NULL, run_at_start, on_missed, overlap,
    source, named_by, disabled_by, planned_from, disabled_at, last_run_at, runs_count,
    created_at, updated_at
FROM jobsd.recurring_tasks
WHERE key = %(key)s;

-- store_static: store the tasks of one file as the file has them, and return the conflicts: tasks
-- that another file or a program has defined differently. A conflict has the name of the other
-- file, if it was a file, and whether ours is newer.
--
-- A row belongs to the newest file that a running scheduler has read. A row that no file
-- names any more is deleted once the scheduler that named it is gone. A new row takes its
-- last run from the history of its key, which outlives rows.
--
-- There may be ten thousand tasks and more, and our sessions join by nested loops only: each
-- row is looked up by its key, never searched for among the rows of a CTE.
WITH mine AS (
    SELECT *
    FROM jsonb_to_recordset(%(tasks)s::jsonb) AS mine (
        key text, schedule text, time_zone text, class_name text, command text,
        arguments text, queue_name text, priority integer, tags text[], description text,
        enabled boolean, run_at_start boolean, on_missed text, overlap text, source text,
        file_changed_at timestamptz
    )
), gone AS (
    DELETE FROM jobsd.recurring_tasks AS task
    WHERE task.static
        AND NOT EXISTS (
            SELECT FROM jobsd.processes AS process
            WHERE process.id = task.named_by AND process.id <> %(process_id)s
        )
        -- Hashed, unlike `<> ALL`; no key of ours is null.
        AND task.key NOT IN (SELECT key FROM mine)
), stored AS (
    INSERT INTO jobsd.recurring_tasks AS task (
        key, schedule, time_zone, class_name, command, arguments, queue_name, priority,
        tags, description, static, enabled, run_at_start, on_missed, overlap, source, named_by,
        file_changed_at, planned_from, last_run_at
    )
    SELECT
        key, schedule, time_zone, class_name, command, arguments::jsonb, queue_name, priority,
        tags, description, true, enabled, run_at_start, on_missed, overlap, source, %(process_id)s,
        file_changed_at,
        -- Once, after all rows were read: thousands of tasks take a while.
        (SELECT clock_timestamp()),
        (
            SELECT max(run.run_at)
            FROM jobsd.recurring_executions AS run
            WHERE run.task_key = mine.key AND run.job_id IS NOT NULL
        )
    FROM mine
    ORDER BY key
    ON CONFLICT (key) DO UPDATE SET
        schedule = excluded.schedule,
        time_zone = excluded.time_zone,
        class_name = excluded.class_name,
        command = excluded.command,
        arguments = excluded.arguments,
        queue_name = excluded.queue_name,
        priority = excluded.priority,
        tags = excluded.tags,
        description = excluded.description,
        static = true,
        enabled = excluded.enabled,
        run_at_start = excluded.run_at_start,
        on_missed = excluded.on_missed,
        overlap = excluded.overlap,
        source = excluded.source,
        named_by = excluded.named_by,
        file_changed_at = excluded.file_changed_at,
        planned_from = CASE
            WHEN task.static AND (task.schedule, task.time_zone, task.enabled)
                = (excluded.schedule, excluded.time_zone, excluded.enabled)
                THEN task.planned_from
            ELSE now()
        END,
        updated_at = CASE
            WHEN task.static AND (
                task.schedule, task.time_zone, task.class_name, task.command, task.arguments,
                task.queue_name, task.priority, task.tags, task.description, task.enabled,
                task.run_at_start, task.on_missed, task.overlap, task.source
            ) IS NOT DISTINCT FROM (
                excluded.schedule, excluded.time_zone, excluded.class_name, excluded.command,
                excluded.arguments, excluded.queue_name, excluded.priority,
                excluded.tags, excluded.description, excluded.enabled, excluded.run_at_start,
                excluded.on_missed, excluded.overlap, excluded.source
            )
                THEN task.updated_at
            ELSE now()
        END
    WHERE NOT task.static
        OR excluded.file_changed_at >= task.file_changed_at
        OR NOT EXISTS (
            SELECT FROM jobsd.processes AS process
            WHERE process.id = task.named_by AND process.id <> %(process_id)s
        )
)
SELECT
    mine.key, mine.source, rival.static, rival.source,
    NOT rival.static OR mine.file_changed_at >= rival.file_changed_at
FROM mine
CROSS JOIN LATERAL (
    -- As it was before this statement.
    SELECT *
    FROM jobsd.recurring_tasks AS task
    WHERE task.key = mine.key
        AND (
            NOT task.static
            OR EXISTS (
                SELECT FROM jobsd.processes AS process
                WHERE process.id = task.named_by AND process.id <> %(process_id)s
            )
        )
    LIMIT 1
) AS rival
WHERE (
    rival.static, rival.schedule, rival.time_zone, rival.class_name, rival.command,
    rival.arguments, rival.queue_name, rival.priority, rival.tags, rival.enabled
) IS DISTINCT FROM (
    true, mine.schedule, mine.time_zone, mine.class_name, mine.command,
    mine.arguments::jsonb, mine.queue_name, mine.priority, mine.tags, mine.enabled
)
ORDER BY mine.key
LIMIT 1000;

-- add: make a task at run time; no row comes back when its key is taken.
WITH notified AS MATERIALIZED (
    SELECT pg_notify('jobsd.task', 'recurring')
)
INSERT INTO jobsd.recurring_tasks (
    key, schedule, time_zone, class_name, command, arguments, queue_name, priority,
    tags, description, enabled, run_at_start, on_missed, overlap, last_run_at
)
SELECT
    %(key)s, %(schedule)s, %(time_zone)s, %(class_name)s, %(command)s, %(arguments)s::jsonb,
    %(queue_name)s, %(priority)s, %(tags)s::text[], %(description)s, %(enabled)s, %(run_at_start)s,
    %(on_missed)s, %(overlap)s,
    (
        SELECT max(run.run_at)
        FROM jobsd.recurring_executions AS run
        WHERE run.task_key = %(key)s AND run.job_id IS NOT NULL
    )
FROM notified
ON CONFLICT (key) DO NOTHING
RETURNING key;

-- change: change a task that was made at run time. With a new schedule, the task does not catch up
-- on earlier runs. Its `on_missed` and `overlap` stay: the form of the dashboard, which changes it,
-- has neither of them.
WITH notified AS MATERIALIZED (
    SELECT pg_notify('jobsd.task', 'recurring')
)
UPDATE jobsd.recurring_tasks
SET
    schedule = %(schedule)s,
    time_zone = %(time_zone)s,
    class_name = %(class_name)s,
    command = %(command)s,
    arguments = %(arguments)s::jsonb,
    queue_name = %(queue_name)s,
    priority = %(priority)s,
    tags = %(tags)s::text[],
    description = %(description)s,
    planned_from = CASE
        WHEN (schedule, time_zone) = (%(schedule)s, %(time_zone)s) THEN planned_from
        ELSE now()
    END,
    updated_at = now()
FROM notified
WHERE key = %(key)s AND NOT static
RETURNING key;

-- remove: delete a task that was made at run time.
WITH notified AS MATERIALIZED (
    SELECT pg_notify('jobsd.task', 'recurring')
)
DELETE FROM jobsd.recurring_tasks
USING notified
WHERE key = %(key)s AND NOT static
RETURNING key;

-- disable: stop a task, also one of a file. A task that is disabled already keeps its person and
-- its time.
WITH notified AS MATERIALIZED (
    SELECT pg_notify('jobsd.task', 'recurring')
)
UPDATE jobsd.recurring_tasks
SET disabled_at = coalesce(disabled_at, now()),
    disabled_by = CASE WHEN disabled_at IS NULL THEN %(by)s ELSE disabled_by END,
    updated_at = CASE WHEN disabled_at IS NULL THEN now() ELSE updated_at END
FROM notified
WHERE key = %(key)s
RETURNING key;

-- enable: let a task run by its schedule again; it does not catch up on the runs of the time when
-- it was disabled. No row comes back for a task that its file turns off.
WITH notified AS MATERIALIZED (
    SELECT pg_notify('jobsd.task', 'recurring')
)
UPDATE jobsd.recurring_tasks
SET enabled = true,
    disabled_at = NULL,
    disabled_by = NULL,
    planned_from = CASE WHEN enabled AND disabled_at IS NULL THEN planned_from ELSE now() END,
    updated_at = CASE WHEN enabled AND disabled_at IS NULL THEN updated_at ELSE now() END
FROM notified
WHERE key = %(key)s AND (enabled OR NOT static)
RETURNING key;
