-- lock_tasks: keep all others from storing a run of these tasks until this transaction ends. The
-- next statement, which sees rows committed meanwhile, checks whether the previous run has ended.
-- It waits for the lock: SKIP LOCKED would let two runs overlap.
SELECT key
FROM jobsd.recurring_tasks
WHERE key = ANY (%(keys)s::text[])
ORDER BY key
FOR NO KEY UPDATE;

-- store: write planned runs, each instant once for all schedulers, and enqueue the jobs of the runs
-- that it has written. A run without a job is only recorded (missed).
--
-- It returns the runs that were written, and those that were allowed. If a run is allowed but not
-- written, another process has written it. If a run is not allowed, its task has changed since it
-- was planned. The history makes an instant unique, but an instant of more than a day ago may have
-- been cleared from it, so it must be later than the last run.
--
-- The server's clock may have been ahead for a while and then put back. A record from that
-- time, of an instant that is still to come and without a job, is replaced. In this case the
-- last run lies ahead, so the run that must not be overlapped is the last one before this
-- instant.
--
-- A job that may not wait, and a unique job, may be discarded: `record_discards` follows in the
-- same transaction.
WITH planned AS (
    SELECT *
    FROM jsonb_to_recordset(%(runs)s::jsonb) AS planned (
        key text, run_at timestamptz, version timestamptz, outcome text, job jsonb
    )
), allowed AS (
    SELECT
        planned.*,
        coalesce(planned.outcome, CASE
            WHEN task.overlap = 'skip' AND EXISTS (
                SELECT
                FROM jobsd.recurring_executions AS previous
                JOIN jobsd.jobs AS job ON job.id = previous.job_id
                WHERE previous.task_key = task.key
                    AND previous.run_at = ANY (ARRAY[task.last_run_at, CASE
                        WHEN task.last_run_at > now() + interval '1 minute' THEN (
                            SELECT max(run.run_at)
                            FROM jobsd.recurring_executions AS run
                            WHERE run.task_key = task.key
                                AND run.run_at < planned.run_at
                                AND run.job_id IS NOT NULL
                        )
                    END])
                    AND job.finished_at IS NULL
                    AND NOT EXISTS (
                        SELECT FROM jobsd.failed_executions WHERE job_id = job.id
                    )
            )
                THEN 'skipped'
        END) AS outcome_now
    FROM planned
    JOIN jobsd.recurring_tasks AS task ON task.key = planned.key
    WHERE task.updated_at = planned.version
        AND (task.enabled AND task.disabled_at IS NULL OR %(even_disabled)s)
        AND planned.run_at
            > least(coalesce(task.last_run_at, '-infinity'), now() - interval '1 day')
), numbered AS MATERIALIZED (
    SELECT
        allowed.*,
        CASE
            WHEN outcome_now IS NULL THEN nextval('jobsd.jobs_id_seq')
        END AS job_id
    FROM allowed
    ORDER BY run_at, key
), stored AS (
    INSERT INTO jobsd.recurring_executions AS known (
        task_key, run_at, job_id, outcome, stored_by
    )
    SELECT key, run_at, job_id, outcome_now, %(attempt)s::bigint
    FROM numbered
    ON CONFLICT (task_key, run_at) DO UPDATE SET
        job_id = excluded.job_id,
        outcome = excluded.outcome,
        created_at = excluded.created_at,
        stored_by = excluded.stored_by
    WHERE known.job_id IS NULL
        AND known.created_at NOT BETWEEN known.run_at AND now() + interval '1 minute'
    RETURNING task_key, run_at, job_id, outcome
), job AS MATERIALIZED (
    SELECT answer.*
    FROM (
        SELECT jsonb_agg(job || jsonb_build_object('id', job_id) ORDER BY run_at, key) AS jobs
        FROM numbered
        WHERE job_id = ANY (ARRAY(SELECT job_id FROM stored WHERE job_id IS NOT NULL))
    ) AS asked
    CROSS JOIN LATERAL jobsd.store(asked.jobs, hastily => true) AS answer
    WHERE asked.jobs IS NOT NULL
), ran AS (
    UPDATE jobsd.recurring_tasks AS task
    SET last_run_at = greatest(task.last_run_at, ran.last_run_at),
        runs_count = task.runs_count + ran.runs,
        missed_count = task.missed_count + ran.missed
    FROM (
        SELECT
            task_key, max(run_at) FILTER (WHERE job_id IS NOT NULL) AS last_run_at,
            count(job_id) AS runs, count(*) FILTER (WHERE outcome = 'missed') AS missed
        FROM stored
        WHERE job_id IS NOT NULL OR outcome = 'missed'
        GROUP BY task_key
        ORDER BY task_key
    ) AS ran
    WHERE task.key = ran.task_key
)
SELECT task_key, run_at, true, job_id, outcome, (SELECT count(*) FROM job)
FROM stored
UNION ALL
SELECT key, run_at, false, NULL, NULL, 0
FROM numbered;

-- record_discards: record, and return, the runs of this transaction whose jobs were discarded
-- because of a limit or of another job with their unique key.
WITH run AS (
    SELECT execution.task_key, execution.run_at, execution.job_id
    FROM jsonb_to_recordset(%(runs)s::jsonb) AS planned (key text, run_at timestamptz)
    JOIN jobsd.recurring_executions AS execution
        ON execution.task_key = planned.key AND execution.run_at = planned.run_at
    WHERE execution.xmin = pg_current_xact_id()::xid AND execution.job_id IS NOT NULL
), discarded AS (
    UPDATE jobsd.recurring_executions AS execution
    SET job_id = NULL, outcome = 'discarded'
    FROM run
    WHERE execution.task_key = run.task_key
        AND execution.run_at = run.run_at
        AND NOT EXISTS (SELECT FROM jobsd.jobs AS job WHERE job.id = run.job_id)
    RETURNING execution.task_key, execution.run_at
), uncounted AS (
    UPDATE jobsd.recurring_tasks AS task
    SET runs_count = task.runs_count - gone.runs
    FROM (SELECT task_key, count(*) AS runs FROM discarded GROUP BY task_key) AS gone
    WHERE task.key = gone.task_key
)
SELECT task_key, run_at
FROM discarded;

-- stored_by: return the runs of a list that an attempt has stored.
SELECT execution.task_key, execution.run_at, execution.job_id, execution.outcome
FROM jsonb_to_recordset(%(runs)s::jsonb) AS planned (key text, run_at timestamptz)
JOIN jobsd.recurring_executions AS execution
    ON execution.task_key = planned.key AND execution.run_at = planned.run_at
WHERE execution.stored_by = %(attempt)s;

-- history: list the runs of tasks with their outcomes, the latest run of each task first. For a
-- running job, the tables know only when it was claimed: that counts as its start.
SELECT
    run.task_key,
    run.run_at,
    run.created_at,
    run.job_id,
    coalesce(
        run.outcome, job.outcome,
        (SELECT state FROM jobsd.places WHERE job_id = job.id AND state <> 'claimed' LIMIT 1),
        CASE WHEN job.id IS NOT NULL THEN 'claimed' ELSE 'cleared' END
    ),
    CASE
        WHEN job.started_at IS NOT NULL OR job.finished_at IS NOT NULL OR job.id IS NULL
            THEN job.started_at
        ELSE (SELECT created_at FROM jobsd.claimed_executions WHERE job_id = run.job_id)
    END,
    job.finished_at
FROM unnest(%(keys)s::text[]) AS wanted (key)
CROSS JOIN LATERAL (
    SELECT *
    FROM jobsd.recurring_executions
    WHERE task_key = wanted.key
    ORDER BY run_at DESC
    LIMIT %(limit)s
) AS run
LEFT JOIN jobsd.jobs AS job ON job.id = run.job_id
ORDER BY run.task_key, run.run_at DESC;

-- clear: delete some of the history that is older than `keep_s`, but nothing of the last day.
DELETE FROM jobsd.recurring_executions
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM jobsd.recurring_executions
    WHERE run_at < now() - make_interval(secs => greatest(%(keep_s)s::float8, 86400))
    ORDER BY run_at, task_key
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
))
RETURNING 1;

-- now: read the clock by which runs are planned.
SELECT now();

-- created: return the time at which the job of a run was created, in microseconds since 1970.
SELECT (date_part('epoch', created_at) * 1000000)::bigint
FROM jobsd.jobs
WHERE id = %(job_id)s;
