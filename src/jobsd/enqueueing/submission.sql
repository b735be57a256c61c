-- submits: say whether this role may enqueue, but only by `submit`.
SELECT
    NOT has_table_privilege('jobsd.jobs', 'INSERT')
    AND coalesce(
        has_function_privilege(to_regprocedure('jobsd.submit(jsonb)'), 'EXECUTE'), false
    );

-- submit: enqueue jobs as a role that may do nothing else, a list of them. Says of each its id, its
-- state, whether another one was replaced, and when it was created (in microseconds since 1970).
SELECT job_id, state, replaced, (date_part('epoch', created) * 1000000)::bigint
FROM jobsd.submit(%(jobs)s::jsonb);
