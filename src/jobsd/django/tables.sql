-- empty: Statements that empty the tables, all but the record of what was migrated.
SELECT format('DELETE FROM %I.%I', schemaname, tablename)
FROM pg_tables
WHERE schemaname = 'jobsd' AND tablename <> 'schema_migrations';
