-- Failed jobs are counted by class, queue and error, with each change of failed_executions.

-- The part that the messages of one kind of error share: * stands for numbers, times, and long
-- words of hexadecimal digits. The search takes it as a pattern.
CREATE FUNCTION jobsd.error_pattern(message text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN regexp_replace(
    left(message, 300),
    '0x[0-9a-f]+|[0-9a-fA-F]{8,}(-[0-9a-fA-F]{4,})*|[0-9]+([.,:-][0-9]+)*', '*', 'g'
);

-- Count inserted and deleted failed jobs. A trigger for each statement, not each row: it sees all
-- ways in which rows are inserted and deleted, and without failed jobs it costs nothing.
CREATE FUNCTION jobsd.count_failures() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    -- Most statements that could insert failed jobs insert none.
    IF TG_OP = 'DELETE' THEN
        NULL;
    ELSIF EXISTS (SELECT FROM come) THEN
        INSERT INTO jobsd.failure_counts (
            group_id, class_name, queue_name, error_type, pattern, jobs,
            first_failed_at, last_failed_at, last_id, message
        )
        SELECT
            hashtextextended(concat_ws(e'\x1f', class_name, queue_name, error_type, pattern), 0),
            class_name, queue_name, error_type, pattern,
            count(*), min(failed_at), max(failed_at), max(job_id),
            (array_agg(message ORDER BY failed_at DESC, job_id DESC))[1]
        FROM (
            SELECT
                job_id, failed_at, coalesce(job_class, '') AS class_name,
                coalesce(job_queue, '') AS queue_name,
                coalesce(left(error ->> 'type', 300), '') AS error_type,
                coalesce(left(error ->> 'message', 300), '') AS message,
                coalesce(jobsd.error_pattern(error ->> 'message'), '') AS pattern
            FROM come
        ) AS failure
        GROUP BY class_name, queue_name, error_type, pattern;
    END IF;
    IF TG_OP = 'INSERT' THEN
        NULL;
    ELSIF EXISTS (SELECT FROM gone) THEN
        INSERT INTO jobsd.failure_counts (
            group_id, class_name, queue_name, error_type, pattern, jobs
        )
        SELECT
            hashtextextended(concat_ws(e'\x1f', class_name, queue_name, error_type, pattern), 0),
            class_name, queue_name, error_type, pattern, -count(*)
        FROM (
            SELECT
                coalesce(job_class, '') AS class_name, coalesce(job_queue, '') AS queue_name,
                coalesce(left(error ->> 'type', 300), '') AS error_type,
                coalesce(jobsd.error_pattern(error ->> 'message'), '') AS pattern
            FROM gone
        ) AS failure
        GROUP BY class_name, queue_name, error_type, pattern;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER failures_come AFTER INSERT ON jobsd.failed_executions
    REFERENCING NEW TABLE AS come
    FOR EACH STATEMENT EXECUTE FUNCTION jobsd.count_failures();
CREATE TRIGGER failures_go AFTER DELETE ON jobsd.failed_executions
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION jobsd.count_failures();
CREATE TRIGGER failures_change AFTER UPDATE ON jobsd.failed_executions
    REFERENCING OLD TABLE AS gone NEW TABLE AS come
    FOR EACH STATEMENT EXECUTE FUNCTION jobsd.count_failures();

-- Set the class and the queue of a failed job that was inserted by hand.
CREATE FUNCTION jobsd.name_failure() RETURNS trigger
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    SELECT job.class_name, job.queue_name
    INTO NEW.job_class, NEW.job_queue
    FROM jobsd.jobs AS job
    WHERE job.id = NEW.job_id;
    RETURN NEW;
END
$$;

CREATE TRIGGER failure_named BEFORE INSERT ON jobsd.failed_executions
    FOR EACH ROW WHEN (NEW.job_class IS NULL)
    EXECUTE FUNCTION jobsd.name_failure();
