-- What jobs have returned, for as long as their `result_ttl` says: whatever becomes of the job's own
-- row. A discarded one has a row, too; a failed one stands in failed_executions.
CREATE TABLE jobsd.results (
    job_id bigint PRIMARY KEY,
    state text NOT NULL,
    result jsonb,
    expires_at timestamptz NOT NULL
)
WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
-- Serves the deletion of those whose time is over.
CREATE INDEX results_expires_at ON jobsd.results (expires_at);

-- Who waits for the end of a job and wants to be told. Not logged: after a crash of the server who
-- waits asks by itself.
CREATE UNLOGGED TABLE jobsd.waiters (
    job_id bigint NOT NULL,
    waiter bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, waiter)
)
WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
