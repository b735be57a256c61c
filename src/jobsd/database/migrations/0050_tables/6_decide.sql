-- The decisions about jobs before they are stored.

-- Take a unique key with `take_unique`. `hastily` waits for no lock: 0 while another session takes
-- it.
CREATE FUNCTION jobsd.try_unique(
    key text, taker bigint, how_long text, within interval, alone boolean, hastily boolean
) RETURNS bigint
LANGUAGE plpgsql
AS $$
BEGIN
    IF NOT hastily THEN
        RETURN jobsd.take_unique(key, taker, how_long, within, alone);
    END IF;
    BEGIN
        RETURN jobsd.take_unique(key, taker, how_long, within, alone);
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
        RETURN 0;
    END;
END
$$;

-- Resolve a unique job whose key another job has: that job takes the new values if it waits
-- (`state` is its state now), or is returned as the duplicate. `freed` is a key whose other jobs
-- may have waited behind it.
CREATE FUNCTION jobsd.meet_duplicate(
    present bigint, given jobsd.submitted, due timestamptz, own_classes boolean,
    OUT state text, OUT created timestamptz, OUT freed text
)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_variable
DECLARE
    its_class text;
BEGIN
    SELECT job.created_at, job.class_name
    INTO created, its_class
    FROM jobsd.jobs AS job
    WHERE job.id = present;
    state := 'duplicate';
    IF jobsd.is_due(present) IS NULL THEN
        RETURN; -- It counts beyond its start, and is not held.
    ELSIF given.unique_conflict <> 'replace' THEN
        PERFORM jobsd.wake_for_held(present);
        RETURN;
    ELSIF own_classes AND its_class IS DISTINCT FROM given.class_name THEN
        RAISE EXCEPTION 'enqueue: job % is of another class: it can''t be replaced', present
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT replaced.state, replaced.freed
    INTO state, freed
    FROM jobsd.replace_waiting(present, given, due) AS replaced;
END
$$;

-- Return the time at which a job is due; NULL if at once. It is at most a hundred years ago,
-- because earlier times, and -infinity, can't be read by every program.
CREATE FUNCTION jobsd.due_of(wait_until timestamptz, wait_s float8, began timestamptz)
RETURNS timestamptz
LANGUAGE sql STABLE
RETURN nullif(
    greatest(
        coalesce(wait_until, began + make_interval(secs => wait_s), 'infinity'),
        now() - interval '100 years'
    ),
    'infinity'
);

-- Take the unique keys of the jobs of a set that have no state yet, in the order of the keys, so that
-- two sets don't deadlock; this waits two seconds at most for each. A job that is to be stored keeps
-- the state NULL. If a job has the unique key of an earlier one of the set, it comes 'next', behind
-- that one.
CREATE FUNCTION jobsd.take_keys(
    given jobsd.submitted[], dues timestamptz[], hastily boolean, own_classes boolean,
    INOUT ids bigint[], INOUT states text[], INOUT replaces boolean[],
    INOUT moments timestamptz[], INOUT freed text[], INOUT changed bigint[]
)
LANGUAGE plpgsql
SET lock_timeout = '2s'
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    job jobsd.submitted;
    met record;
    turn integer;
    present bigint;
    last_key text;
BEGIN
    IF hastily THEN
        PERFORM set_config('lock_timeout', '20ms', true);
    END IF;
    FOR turn IN
        SELECT each.ordinality
        FROM unnest(given) WITH ORDINALITY AS each
        WHERE each.unique_key IS NOT NULL AND states[each.ordinality] IS NULL
        ORDER BY each.unique_key, each.ordinality
    LOOP
        job := given[turn];
        IF job.unique_key = last_key THEN
            states[turn] := 'next';
            CONTINUE;
        END IF;
        present := jobsd.try_unique(
            job.unique_key, ids[turn], job.unique_until,
            make_interval(secs => job.unique_within_s), job.unique_conflict = 'replace', hastily
        );
        IF present IS NULL THEN
            last_key := job.unique_key;
            CONTINUE;
        END IF;
        SELECT *
        INTO met
        FROM jobsd.meet_duplicate(present, job, dues[turn], own_classes);
        ids[turn] := nullif(present, 0);
        states[turn] := met.state;
        moments[turn] := met.created;
        IF met.state <> 'duplicate' THEN
            replaces[turn] := true;
            changed := changed || present;
            freed := array_remove(freed || met.freed, NULL);
        END IF;
    END LOOP;
END
$$;

-- Lock the keys of limits whose jobs may not wait, in the order of the keys, so that two sets don't
-- deadlock, and discard the jobs that find their limit reached. If a key can't be locked in time
-- (`unheld`), the worker that meets its job decides about it.
CREATE FUNCTION jobsd.keep_limits(
    given jobsd.submitted[], ids bigint[], dues timestamptz[], began timestamptz, hastily boolean,
    INOUT states text[], OUT unheld text[]
)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    job jobsd.submitted;
    turn integer;
    highest integer;
    last_key text;
    is_held boolean;
    counted bigint;
BEGIN
    unheld := '{}';
    FOR turn, highest IN
        SELECT each.ordinality, each.highest
        FROM (
            SELECT
                each.ordinality, each.key, max(each."to") OVER same AS highest,
                bool_or(each.on_conflict = 'discard') OVER same AS yields
            FROM unnest(given) WITH ORDINALITY AS each
            WHERE each.key IS NOT NULL AND states[each.ordinality] IS NULL
                AND (dues[each.ordinality] > began) IS NOT TRUE
            WINDOW same AS (PARTITION BY each.key)
        ) AS each
        WHERE each.yields
        ORDER BY each.key, each.ordinality
    LOOP
        job := given[turn];
        IF job.key IS DISTINCT FROM last_key THEN
            last_key := job.key;
            is_held := jobsd.hold_key(last_key, hastily);
            IF is_held THEN
                counted := jobsd.jobs_of_key(last_key, highest);
            ELSE
                unheld := unheld || last_key;
            END IF;
        END IF;
        IF NOT is_held OR job.on_conflict <> 'discard' OR counted < job."to" THEN
            counted := counted + 1;
            CONTINUE;
        END IF;
        states[turn] := 'discarded';
        CONTINUE WHEN job.unique_key IS NULL;
        PERFORM jobsd.give_back_unique(ARRAY[job.unique_key], ARRAY[ids[turn]]);
        -- Jobs that would come next find the limit reached, too; a round for each of them would take
        -- time in the square of their number.
        FOR turn IN
            SELECT each.ordinality
            FROM unnest(given) WITH ORDINALITY AS each
            WHERE states[each.ordinality] = 'next' AND each.unique_key = job.unique_key
                AND each.key = job.key AND each.on_conflict = 'discard' AND each."to" <= counted
                AND (dues[each.ordinality] > began) IS NOT TRUE
        LOOP
            states[turn] := 'discarded';
        END LOOP;
    END LOOP;
END
$$;
