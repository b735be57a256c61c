-- bounded: let the server end this transaction if our process stands still in it, because other
-- sessions wait for the rows that it has written.
SELECT set_config('idle_in_transaction_session_timeout', %(idle)s, true);

-- number: return the number of this transaction, NULL while it has written nothing.
SELECT pg_current_xact_id_if_assigned()::text;

-- outcome: return the status of a transaction: committed, "in progress" or aborted, or NULL if this
-- server does not know it. Every number below that of a new transaction has been assigned. The end
-- of a snapshot would not do: it lies before a transaction in progress if no later one has ended.
SELECT CASE
    WHEN %(number)s::xid8 < pg_current_xact_id()
        THEN pg_xact_status(%(number)s::xid8)
END;
