-- held: say which of these jobs somebody holds locked where they wait or have failed, and who.
SELECT wanted.id, holders.named
FROM unnest(%(ids)s::bigint[]) AS wanted (id)
CROSS JOIN LATERAL (SELECT jobsd.holders_of(wanted.id)) AS holders (named)
WHERE holders.named IS NOT NULL
ORDER BY wanted.id;
