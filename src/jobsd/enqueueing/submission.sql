-- submits: return whether this role may enqueue, but only by `submit`.
SELECT
    NOT has_table_privilege('jobsd.jobs', 'INSERT')
    AND coalesce(
        has_function_privilege(to_regprocedure('jobsd.submit(jsonb)'), 'EXECUTE'), false
    );

-- submit: enqueue a list of jobs as a role that may only enqueue. Returns the id of each, its
-- state, whether another job was replaced, and its creation time (in microseconds since 1970).
SELECT job_id, state, replaced, (date_part('epoch', created) * 1000000)::bigint
FROM jobsd.submit(%(jobs)s::jsonb);
