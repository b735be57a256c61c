-- due: return whether a walk over all jobs should begin or continue, and when its last step was
-- taken. A new walk is due a day after the last one, after an outage, and on another server
-- than the one on which the last walk began (restarted, promoted or restored). A walk that was
-- left in the middle is due when no dispatcher continues it. However often walks are asked for,
-- they take a tenth of the time at most. Clocks of other servers may be ahead of ours.
SELECT
    walk.stepped_at,
    CASE
        WHEN walk.after_id IS NOT NULL
            THEN walk.walker = %(walker)s
                OR abs(extract(epoch FROM now() - walk.stepped_at)) > %(lease_s)s
        WHEN walk.ended_at IS NULL THEN true
        WHEN walk.server_started_at <> pg_postmaster_start_time() THEN true
        WHEN walk.asked_at > walk.began_at
            AND now() > walk.ended_at + 9 * (walk.ended_at - walk.began_at) THEN true
        ELSE now() NOT BETWEEN
            walk.ended_at AND walk.ended_at + make_interval(secs => %(every_s)s)
    END
FROM (SELECT) AS always
LEFT JOIN jobsd.lost_walk AS walk ON true;

-- begin: begin a walk, or continue one that was left in the middle on this server, unless
-- another dispatcher has just done so. Returns the id after which it starts.
INSERT INTO jobsd.lost_walk AS walk (
    walker, stepped_at, after_id, began_at, server_started_at
)
VALUES (%(walker)s, now(), 0, now(), pg_postmaster_start_time())
ON CONFLICT (single) DO UPDATE
SET walker = excluded.walker,
    stepped_at = excluded.stepped_at,
    after_id = CASE
        WHEN walk.server_started_at = excluded.server_started_at
            THEN coalesce(walk.after_id, 0)
        ELSE 0
    END,
    began_at = CASE
        WHEN walk.server_started_at = excluded.server_started_at AND walk.after_id IS NOT NULL
            THEN walk.began_at
        ELSE excluded.began_at
    END,
    server_started_at = excluded.server_started_at
WHERE walk.stepped_at IS NOT DISTINCT FROM %(stepped_at)s::timestamptz
RETURNING after_id;

-- step: store how far the walk has come; returns no row if another dispatcher has taken it
-- over.
UPDATE jobsd.lost_walk
SET after_id = %(after)s, stepped_at = now()
WHERE walker = %(walker)s AND after_id IS NOT NULL
RETURNING after_id;

-- end: end the walk, and delete the notes of jobs that are not lost any more.
WITH ended AS (
    UPDATE jobsd.lost_walk
    SET after_id = NULL, ended_at = now()
    WHERE walker = %(walker)s AND after_id IS NOT NULL
    RETURNING began_at
), found AS (
    DELETE FROM jobsd.lost_jobs
    WHERE job_id NOT IN (SELECT job_id FROM jobsd.lost_executions)
)
SELECT extract(epoch FROM now() - began_at)::float8
FROM ended;

-- ask: ask for a walk, after an outage.
INSERT INTO jobsd.lost_walk (asked_at)
VALUES (now())
ON CONFLICT (single) DO UPDATE
SET asked_at = excluded.asked_at;
