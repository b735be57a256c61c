-- begin: record the start of an act.
INSERT INTO jobsd.audit (actor, via, act, target, wanted)
VALUES (%(actor)s, %(via)s, %(act)s, %(target)s, %(wanted)s)
RETURNING id;

-- go_on: add the number of changed jobs; `ended` marks the last batch.
UPDATE jobsd.audit
SET
    jobs = jobs + %(jobs)s,
    skipped = skipped + %(skipped)s,
    ended_at = CASE WHEN %(ended)s THEN now() ELSE ended_at END
WHERE id = %(id)s
RETURNING jobs;

-- find: read one row.
SELECT id, acted_at, ended_at, actor, via, act, target, jobs, wanted, skipped
FROM jobsd.audit
WHERE id = %(id)s;

-- withdraw: delete the row of an act that was refused.
DELETE FROM jobsd.audit WHERE id = %(id)s;

-- rows: list the acts, the latest first.
SELECT id, acted_at, ended_at, actor, via, act, target, jobs, wanted, skipped
FROM jobsd.audit
WHERE id < %(before)s
ORDER BY id DESC
LIMIT %(limit)s;
