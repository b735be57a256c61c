-- The processes, the classes that each can run, and the pauses of queues.

CREATE TABLE jobsd.processes (
    id bigint PRIMARY KEY DEFAULT jobsd.random_id(),
    kind text NOT NULL,
    name text NOT NULL UNIQUE,
    pid integer NOT NULL,
    hostname text NOT NULL,
    supervisor_id bigint,
    last_heartbeat_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    metadata jsonb NOT NULL DEFAULT '{}',
    -- The start times of its running jobs, by id, in seconds since the epoch. The monitor writes
    -- them with the heartbeats, so that no start of a job needs a statement.
    running jsonb,
    -- Of a supervisor: the load and the memory of its machine. The monitor writes them in the same
    -- way.
    machine jsonb
)
WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 500
);

-- The idle processes that want to be woken. NOTIFY takes a lock that serialises commits, so it is
-- sent only when a process sleeps. Not logged: a row costs its writer no wait for the disk, and
-- when a crash empties the table, the sleepers poll within five seconds.
CREATE UNLOGGED TABLE jobsd.sleepers (
    process_id bigint PRIMARY KEY,
    kind text NOT NULL
)
WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

CREATE TABLE jobsd.pauses (
    queue_name text PRIMARY KEY,
    reason text,
    created_by text,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The classes that each worker can run. The row is deleted with that of its process.
CREATE TABLE jobsd.worker_classes (
    process_id bigint PRIMARY KEY REFERENCES jobsd.processes (id) ON DELETE CASCADE,
    queues text[] NOT NULL,
    -- The lanes of the classes that it has imported.
    lanes text[] NOT NULL
);

-- The time since which no living worker of the queue has known the class of a lane; NULL if one
-- does. It counts only while a worker of the queue checks the lane.
CREATE TABLE jobsd.lanes (
    queue_name text NOT NULL,
    lane text NOT NULL,
    unknown_since timestamptz,
    checked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (queue_name, lane)
);

-- The lane of a class: its name, which an index must be able to hold. The server inlines it into
-- each statement that calls it. It would not inline a function that is STRICT, or IMMUTABLE with a
-- part that is only STABLE, and a call takes 2 µs for each job.
CREATE FUNCTION jobsd.lane_of(class_name text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
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
