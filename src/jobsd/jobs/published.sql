-- withdraw: delete the definitions of classes that `publish` is to store with other values. Both
-- statements take classes in the order of their names, because other processes store theirs at the
-- same time.
WITH changed AS MATERIALIZED (
    SELECT known.class_name
    FROM jsonb_array_elements(%(definitions)s::jsonb) AS given (each)
    CROSS JOIN LATERAL jsonb_populate_record(NULL::jobsd.definitions, given.each) AS mine
    JOIN jobsd.definitions AS known ON known.class_name = mine.class_name
    WHERE to_jsonb(known) - 'published_at' IS DISTINCT FROM to_jsonb(mine) - 'published_at'
    ORDER BY known.class_name
    FOR UPDATE OF known
)
DELETE FROM jobsd.definitions AS known
USING changed
WHERE known.class_name = changed.class_name;

-- publish: store the definitions of classes that have none.
INSERT INTO jobsd.definitions
SELECT mine.*
FROM jsonb_array_elements(%(definitions)s::jsonb) AS given (each)
CROSS JOIN LATERAL jsonb_populate_record(
    NULL::jobsd.definitions, given.each || jsonb_build_object('published_at', now())
) AS mine
ORDER BY mine.class_name
ON CONFLICT (class_name) DO NOTHING;

-- positional: list the names of positional arguments that workers have published, by class.
SELECT class_name, positional
FROM jobsd.definitions
WHERE positional IS NOT NULL
ORDER BY class_name
LIMIT 10000;
