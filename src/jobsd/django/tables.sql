-- empty: Statements that empty the tables, except for the record of migrations.
SELECT format('DELETE FROM %I.%I', schemaname, tablename)
FROM pg_tables
WHERE schemaname = 'jobsd' AND tablename <> 'schema_migrations';
