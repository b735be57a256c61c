-- identity: the database that a connection reached, whatever the way, role or pooler: a standby
-- has the identifier of its primary.
SELECT system_identifier::text, current_database()
FROM pg_control_system();

-- identity_of_a_guest: the same for a role that may not read the control file.
SELECT pg_postmaster_start_time()::text, current_database();
