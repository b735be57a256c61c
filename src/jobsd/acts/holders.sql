-- held: return the jobs whose row is locked by another session, in the table of their state, and
-- the name of that session.
SELECT wanted.id, holders.named
FROM unnest(%(ids)s::bigint[]) AS wanted (id)
CROSS JOIN LATERAL (SELECT jobsd.holders_of(wanted.id)) AS holders (named)
WHERE holders.named IS NOT NULL
ORDER BY wanted.id;
