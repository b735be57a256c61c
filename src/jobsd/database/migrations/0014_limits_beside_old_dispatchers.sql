-- Let a dispatcher look after a key once this transaction has committed; after all keys, when
-- there are many, and when one of a version before may be the only one that hears us: it knows
-- no other word, and would look by itself after ten minutes. (It says less of itself.)
CREATE OR REPLACE FUNCTION jobsd.ask_for_limit(key text) RETURNS void
LANGUAGE sql
AS $$
    SELECT pg_notify(
        'jobsd.wake',
        CASE
            WHEN jobsd.limits_are_full() OR EXISTS (
                SELECT
                FROM jobsd.processes
                WHERE kind = 'dispatcher' AND NOT metadata ? 'hang_timeout'
            )
                THEN 'limits'
            ELSE 'limits ' || $1
        END
    )
$$;
