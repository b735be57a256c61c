-- What a chaos run has PostgreSQL itself write down, in the transactions that it judges.
CREATE SCHEMA chaos;

-- What a program would store together with a job.
CREATE TABLE chaos.orders (n bigint PRIMARY KEY);

-- What jobs store that end in a transaction of their own: once each, or twice if we are wrong.
CREATE TABLE chaos.effects (n bigint NOT NULL);

-- By when jobs have to be begun.
CREATE TABLE chaos.deadlines (
    job_id bigint NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE TABLE chaos.outcomes (
    turn bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    said_by text NOT NULL DEFAULT current_setting('application_name'),
    job_id bigint NOT NULL,
    attempts_before integer NOT NULL,
    attempts integer NOT NULL,
    outcome_before text,
    outcome text
);

CREATE TABLE chaos.claims (
    turn bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    said_by text NOT NULL DEFAULT current_setting('application_name'),
    made boolean NOT NULL,
    claim_id bigint NOT NULL,
    process_id bigint NOT NULL,
    job_ids bigint[] NOT NULL
);

CREATE TABLE chaos.processes (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    pid integer NOT NULL
);

-- Rows of jobs that are not kept, and when nobody had told of them yet.
CREATE TABLE chaos.erased (
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    said_by text NOT NULL DEFAULT current_setting('application_name'),
    job_id bigint NOT NULL,
    n integer NOT NULL,
    attempts integer NOT NULL,
    max_attempts integer NOT NULL,
    class_name text NOT NULL
);

CREATE FUNCTION chaos.note_erasure() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO chaos.erased (job_id, n, attempts, max_attempts, class_name)
    VALUES (
        OLD.id, coalesce((OLD.arguments ->> 0)::integer, 0), OLD.attempts, OLD.max_attempts,
        OLD.class_name
    );
    RETURN NULL;
END
$$;

CREATE TRIGGER chaos_erasure
AFTER DELETE ON jobsd.jobs
FOR EACH ROW EXECUTE FUNCTION chaos.note_erasure();

CREATE FUNCTION chaos.note_deadline() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO chaos.deadlines (job_id, expires_at) VALUES (NEW.job_id, NEW.expires_at);
    RETURN NULL;
END
$$;

CREATE TRIGGER chaos_deadline
AFTER INSERT OR UPDATE ON jobsd.expirations
FOR EACH ROW EXECUTE FUNCTION chaos.note_deadline();

CREATE FUNCTION chaos.note_outcome() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO chaos.outcomes (job_id, attempts_before, attempts, outcome_before, outcome)
    VALUES (OLD.id, OLD.attempts, NEW.attempts, OLD.outcome, NEW.outcome);
    RETURN NULL;
END
$$;

CREATE TRIGGER chaos_outcome
AFTER UPDATE ON jobsd.jobs
FOR EACH ROW
WHEN (OLD.attempts <> NEW.attempts OR OLD.outcome IS DISTINCT FROM NEW.outcome)
EXECUTE FUNCTION chaos.note_outcome();

CREATE FUNCTION chaos.note_claim() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO chaos.claims (made, claim_id, process_id, job_ids)
        VALUES (true, NEW.id, NEW.process_id, NEW.job_ids);
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO chaos.claims (made, claim_id, process_id, job_ids)
        VALUES (false, OLD.id, OLD.process_id, OLD.job_ids);
    ELSE
        INSERT INTO chaos.claims (made, claim_id, process_id, job_ids)
        VALUES (
            false, OLD.id, OLD.process_id,
            ARRAY(
                SELECT id FROM unnest(OLD.job_ids) AS id
                WHERE id <> ALL (NEW.job_ids)
            )
        ), (
            -- The claim of a slot gets more jobs.
            true, NEW.id, NEW.process_id,
            ARRAY(
                SELECT id FROM unnest(NEW.job_ids) AS id
                WHERE id <> ALL (OLD.job_ids)
            )
        );
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER chaos_claim
AFTER INSERT OR UPDATE OR DELETE ON jobsd.claims
FOR EACH ROW EXECUTE FUNCTION chaos.note_claim();

CREATE FUNCTION chaos.note_process() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO chaos.processes (id, name, pid) VALUES (NEW.id, NEW.name, NEW.pid);
    RETURN NULL;
END
$$;

CREATE TRIGGER chaos_process
AFTER INSERT ON jobsd.processes
FOR EACH ROW EXECUTE FUNCTION chaos.note_process();
