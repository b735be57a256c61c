-- submits: say whether this role may enqueue, but only by `submit`.
SELECT
    NOT has_table_privilege('jobsd.jobs', 'INSERT')
    AND coalesce(
        has_function_privilege(to_regprocedure('jobsd.submit(jsonb)'), 'EXECUTE'), false
    );

-- submit: enqueue jobs as a role that may do nothing else, a list of them. Says of each its id, its
-- state, and whether another one was replaced.
SELECT job_id, state, replaced
FROM jobsd.submit(%(jobs)s::jsonb);
