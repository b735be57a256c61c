-- other_clients: how many connections there are beside ours
SELECT count(*)
FROM pg_stat_activity
WHERE backend_type IN ('client backend', 'walsender')
  AND pid <> pg_backend_pid();
