-- number: return the number of this transaction, NULL while it has written nothing.
SELECT pg_current_xact_id_if_assigned()::text;

-- outcome: return what became of a transaction that has settled claims of a process: committed,
-- "in progress" or aborted, or NULL when it is not known here. A standby that was promoted
-- without it gives its number out again: so what it has deleted must be gone, too.
SELECT CASE
    WHEN %(number)s::xid8 >= pg_snapshot_xmax(pg_current_snapshot()) THEN NULL
    WHEN %(complete)s AND EXISTS (
        SELECT FROM jobsd.claims WHERE process_id = %(process_id)s
    ) THEN NULL
    ELSE pg_xact_status(%(number)s::xid8)
END;
