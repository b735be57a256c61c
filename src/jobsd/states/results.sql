-- keep: store the results of jobs that end now, as long as their claims have them, and wake the
-- processes that wait for them. It comes before the statement that records the ends, in the
-- same transaction: so it locks the rows of the claims, and waits for them as `record` in
-- claims.sql does.
WITH bounded AS MATERIALIZED (
    SELECT set_config('lock_timeout', %(lock_wait)s, true)
), ended AS (
    SELECT claim_id, job_id, state, result, ttl_s
    FROM unnest(
        %(claim_ids)s::bigint[], %(job_ids)s::bigint[], %(states)s::text[],
        %(results)s::text[], %(ttl_s)s::float8[]
    ) AS ended (claim_id, job_id, state, result, ttl_s)
), held AS MATERIALIZED (
    SELECT claim.id, claim.job_ids, claim.cancelled
    FROM bounded
    CROSS JOIN jobsd.claims AS claim
    WHERE claim.id = ANY (%(claim_ids)s::bigint[])
    ORDER BY claim.id
    FOR UPDATE OF claim
), ours AS MATERIALIZED (
    SELECT
        ended.claim_id, ended.job_id, ended.ttl_s,
        -- As in `conclude`.
        CASE
            WHEN ended.state <> 'finished' AND ended.job_id = ANY (held.cancelled) THEN 'discarded'
            ELSE ended.state
        END AS state,
        ended.result
    FROM ended
    JOIN held ON held.id = ended.claim_id AND ended.job_id = ANY (held.job_ids)
), kept AS (
    INSERT INTO jobsd.results (job_id, state, result, expires_at, process, created_at)
    SELECT
        job_id, state, result::jsonb, now() + make_interval(secs => ttl_s), %(process)s,
        (SELECT created_at FROM jobsd.jobs WHERE id = ours.job_id)
    FROM ours
    WHERE state IN ('finished', 'discarded')
    ON CONFLICT (job_id) DO UPDATE
        SET state = excluded.state, result = excluded.result, expires_at = excluded.expires_at,
            process = excluded.process, created_at = excluded.created_at
)
SELECT count(pg_notify('jobsd.done', ours.job_id::text))
FROM ours
WHERE EXISTS (SELECT FROM jobsd.waiters AS waiter WHERE waiter.job_id = ours.job_id);

-- register: register that a process waits for the ends of some jobs.
INSERT INTO jobsd.waiters (job_id, waiter)
SELECT job_id, %(waiter)s
FROM unnest(%(ids)s::bigint[]) AS job_id
ON CONFLICT (job_id, waiter) DO NOTHING;

-- deregister: delete these registrations.
DELETE FROM jobsd.waiters
WHERE waiter = %(waiter)s AND job_id = ANY (%(ids)s::bigint[]);

-- ends: return how some jobs have ended, and whether `values` has a result or an error of theirs:
-- NULL if a job has not ended, 'gone' if it does not exist. If a job has not ended and has a
-- result, that is one of an earlier run. The last column is when the job was created that has the
-- id now, in microseconds since 1970: a result of an earlier one, before the database went back in
-- time, is not its own.
SELECT
    wanted.id,
    CASE
        WHEN job.outcome IS NOT NULL THEN job.outcome
        WHEN failed.job_id IS NOT NULL THEN 'failed'
        WHEN job.id IS NULL THEN coalesce(kept.state, 'gone')
    END,
    kept.job_id IS NOT NULL OR failed.job_id IS NOT NULL,
    (date_part('epoch', coalesce(job.created_at, kept.created_at)) * 1000000)::bigint
FROM unnest(%(ids)s::bigint[]) AS wanted (id)
LEFT JOIN jobsd.jobs AS job ON job.id = wanted.id
LEFT JOIN jobsd.failed_executions AS failed ON failed.job_id = wanted.id
LEFT JOIN jobsd.results AS kept
    ON kept.job_id = wanted.id
        AND kept.expires_at > now()
        AND (job.id IS NULL OR kept.created_at = job.created_at);

-- values: return results and errors of jobs that have ended, in the order of the ids, until they
-- come to `most` bytes: of the first job always. What does not fit in is not read to its end.
WITH RECURSIVE given AS (
    SELECT
        0 AS place, 0::bigint AS size, NULL::bigint AS id, false AS kept, NULL::text AS result,
        NULL::text AS error
    UNION ALL
    SELECT given.place + 1, given.size + sized.size, found.id, found.kept, found.result, found.error
    FROM given
    CROSS JOIN LATERAL (
        SELECT
            wanted.id, kept.job_id IS NOT NULL AS kept, kept.result::text AS result,
            failed.error::text AS error
        FROM (SELECT (%(ids)s::bigint[])[given.place + 1] AS id) AS wanted
        LEFT JOIN jobsd.failed_executions AS failed ON failed.job_id = wanted.id
        LEFT JOIN jobsd.results AS kept
            ON kept.job_id = wanted.id
                AND kept.expires_at > now()
                AND NOT EXISTS (
                    SELECT
                    FROM jobsd.jobs AS job
                    WHERE job.id = kept.job_id
                        AND (job.created_at = kept.created_at) IS NOT TRUE
                )
        OFFSET 0 -- or each text would be made three times
    ) AS found
    CROSS JOIN LATERAL (
        SELECT
            coalesce(octet_length(found.result), 0) + coalesce(octet_length(found.error), 0) AS size
    ) AS sized
    WHERE given.place < cardinality(%(ids)s::bigint[])
        AND (given.place = 0 OR given.size + sized.size <= %(most)s::bigint)
)
SELECT id, kept, result, error::jsonb
FROM given
WHERE place > 0;

-- clear: delete some expired results, and registered waits that are a day old.
WITH old AS (
    SELECT job_id
    FROM jobsd.results
    WHERE expires_at <= now()
    ORDER BY expires_at, job_id
    LIMIT 10000
    FOR UPDATE SKIP LOCKED
), cleared AS (
    DELETE FROM jobsd.results
    WHERE job_id = ANY (ARRAY(SELECT job_id FROM old))
    RETURNING job_id
), gone AS (
    DELETE FROM jobsd.waiters
    WHERE created_at < now() - interval '1 day'
)
SELECT count(*) FROM cleared;
