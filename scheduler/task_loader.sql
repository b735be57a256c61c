-- check: read the clock, the number of tasks and their fingerprint, and whether a task of a file is
-- orphaned: the scheduler that has stored it is gone. The fingerprint changes with every edit, also
-- by hand, and in any order of commits (the latest time of edits would not).
SELECT
    now(),
    count(*),
    coalesce(bit_xor(hashtextextended(
        concat_ws(
            chr(31), task.key, task.schedule, task.time_zone, task.class_name, task.command,
            task.arguments, task.queue_name, task.priority, task.tags, task.enabled, task.on_missed,
            task.overlap, task.disabled_at
        ),
        (extract(epoch FROM task.updated_at) * 1000000)::bigint
    )), 0),
    coalesce(bool_or(task.static AND NOT EXISTS (
        SELECT FROM jobsd.processes AS process WHERE process.id = task.named_by
    )), false)
FROM jobsd.recurring_tasks AS task
WHERE task.static OR %(dynamic)s;
