-- other_clients: count the connections except ours, and except other counting ones, because one of
-- ours is still listed for a moment after it was closed.
SELECT count(*)
FROM pg_stat_activity
WHERE backend_type IN ('client backend', 'walsender')
  AND application_name <> current_setting('application_name');
