-- Lanes: ready jobs that not every worker can run.
--
-- A job whose class a worker has not imported is parked, in the lane of its class: still ready, in
-- its place, but only seen by workers that know the class. In a table of its own: a million such
-- rows beside the hot ones doubled the server's work for a drain (each vacuum reads all indexes),
-- and a program of the version before can't take what it does not see.

CREATE TABLE jobsd.parked_executions (
    job_id bigint PRIMARY KEY,
    position bigint NOT NULL,
    priority integer NOT NULL,
    queue_name text NOT NULL,
    lane text NOT NULL
)
WITH (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);
-- Serves claims from a lane, and finds the lanes of each queue by skipping.
CREATE UNIQUE INDEX parked_executions_lane
    ON jobsd.parked_executions (queue_name, lane, priority, position);

-- All ready jobs, wherever they wait.
CREATE VIEW jobsd.all_ready_executions AS
    SELECT job_id, position, priority, queue_name, NULL::text AS lane
    FROM jobsd.ready_executions
    UNION ALL
    SELECT job_id, position, priority, queue_name, lane
    FROM jobsd.parked_executions;

CREATE OR REPLACE VIEW jobsd.lost_executions AS
    SELECT lost.job_id, lost.found_at
    FROM jobsd.lost_jobs AS lost
    JOIN jobsd.jobs AS job ON job.id = lost.job_id
    WHERE job.outcome IS NULL
        AND NOT EXISTS (SELECT FROM jobsd.ready_executions AS r WHERE r.job_id = job.id)
        AND NOT EXISTS (SELECT FROM jobsd.parked_executions AS p WHERE p.job_id = job.id)
        AND NOT EXISTS (SELECT FROM jobsd.scheduled_executions AS s WHERE s.job_id = job.id)
        AND NOT EXISTS (SELECT FROM jobsd.blocked_executions AS b WHERE b.job_id = job.id)
        AND NOT EXISTS (SELECT FROM jobsd.failed_executions AS f WHERE f.job_id = job.id)
        AND job.id NOT IN (SELECT job_id FROM jobsd.claimed_executions);

-- The lane of a class: its name, which an index must be able to hold.
CREATE FUNCTION jobsd.lane_of(class_name text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
    WHEN octet_length(class_name) <= 500 THEN class_name
    ELSE 'sha256 ' || encode(sha256(convert_to(class_name, 'UTF8')), 'hex')
END;

-- Whether a worker that takes from these queues ('name', 'prefix*' or '*') takes from this one.
CREATE FUNCTION jobsd.serves(patterns text[], queue_name text) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN EXISTS (
    SELECT
    FROM unnest(patterns) AS each (pattern)
    WHERE pattern = queue_name
        OR (right(pattern, 1) = '*' AND starts_with(queue_name, left(pattern, -1)))
);

-- What each worker can run. The row goes with that of its process, whoever deletes that.
CREATE TABLE jobsd.worker_classes (
    process_id bigint PRIMARY KEY REFERENCES jobsd.processes (id) ON DELETE CASCADE,
    queues text[] NOT NULL,
    -- The lanes of the classes that it has imported.
    lanes text[] NOT NULL
);

-- Since when no worker that lives and takes from the queue has known the class of a lane; NULL:
-- one does. Counted only while such a worker looks at it.
CREATE TABLE jobsd.lanes (
    queue_name text NOT NULL,
    lane text NOT NULL,
    unknown_since timestamptz,
    looked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (queue_name, lane)
);
