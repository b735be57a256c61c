-- register: write the row of a process; it takes over a row of the same name.
INSERT INTO jobsd.processes (kind, name, pid, hostname, supervisor_id, metadata)
VALUES (
    %(kind)s, %(name)s, %(pid)s, %(hostname)s, nullif(%(supervisor_id)s::bigint, 0),
    %(metadata)s::jsonb
)
ON CONFLICT (name) DO UPDATE SET last_heartbeat_at = now()
RETURNING id;

-- deregister: delete the row of a process that has no claims left, and its idle registration.
WITH sleeper AS (
    DELETE FROM jobsd.sleepers WHERE process_id = %(id)s
)
DELETE FROM jobsd.processes
WHERE id = %(id)s
    AND NOT EXISTS (SELECT FROM jobsd.claims WHERE process_id = %(id)s)
RETURNING id;

-- remove: the same for a dead process, unless another session holds its row locked.
WITH had AS (
    SELECT id
    FROM jobsd.processes
    WHERE id = %(id)s
    FOR UPDATE SKIP LOCKED
), sleeper AS (
    DELETE FROM jobsd.sleepers WHERE process_id = %(id)s
)
DELETE FROM jobsd.processes
WHERE id IN (SELECT id FROM had)
    AND NOT EXISTS (SELECT FROM jobsd.claims WHERE process_id = %(id)s)
RETURNING id;

-- register_idle: register a process as idle, to be woken by notifications.
INSERT INTO jobsd.sleepers (process_id, kind)
VALUES (%(id)s, %(kind)s)
ON CONFLICT (process_id) DO NOTHING;

-- withdraw_idle: delete the idle registration of a process: it polls by itself.
DELETE FROM jobsd.sleepers WHERE process_id = %(id)s;

-- everything_paused: return whether everything is paused; see acts/everything.
SELECT EXISTS (SELECT FROM jobsd.pauses WHERE queue_name = '*');

-- find: find the row of a process by its name.
SELECT id
FROM jobsd.processes
WHERE name = %(name)s;

-- all: list the processes, the trees one after the other.
SELECT
    id, kind, name, pid, hostname, supervisor_id,
    extract(epoch FROM now() - last_heartbeat_at)::float8 AS heartbeat_age_s,
    created_at, metadata, machine
FROM jobsd.processes
ORDER BY coalesce(supervisor_id, id), (supervisor_id IS NOT NULL), kind, created_at, id
LIMIT 10000;
