"""A made-up next program: this one, with one step more, as a release makes it.

It adds a column that its statements fill where there is one, and makes `jobsd.enqueue` anew
beside the old one, as if the parameters had changed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import jobsd
from jobsd.database.steps import latest_version

OURS = latest_version()
NEXT = OURS + 1
OLD_FUNCTION = "enqueue_before_the_next"

_STEP = f"""
ALTER TABLE jobsd.jobs ADD COLUMN made_by text;
DO $$
DECLARE
    before regprocedure := (
        SELECT oid FROM pg_proc
        WHERE proname = 'enqueue' AND pronamespace = 'jobsd'::regnamespace
    );
    made text := pg_get_functiondef(before);
    parameters text := pg_get_function_identity_arguments(before);
    grantee text;
BEGIN
    EXECUTE format('ALTER FUNCTION %s RENAME TO {OLD_FUNCTION}', before);
    EXECUTE made;
    FOR grantee IN
        SELECT CASE WHEN held.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(role.rolname) END
        FROM pg_proc, aclexplode(proacl) AS held
        LEFT JOIN pg_roles AS role ON role.oid = held.grantee
        WHERE pg_proc.oid = before
    LOOP
        EXECUTE format(
            'GRANT EXECUTE ON FUNCTION jobsd.enqueue(%s) TO %s', parameters, grantee
        );
    END LOOP;
END $$;
"""
_COLUMNS = "retries_crash, context\n    )\n    VALUES ("
_VALUES = "%(context)s::jsonb\n    )\n    RETURNING id, queue_name, priority"


def make_next_program(folder: Path) -> str:
    """Make it in a folder; return what PYTHONPATH has to be for it to be run."""
    made = folder / "jobsd"
    shutil.copytree(
        Path(jobsd.__file__).parent, made, ignore=shutil.ignore_patterns("__pycache__")
    )
    make_next(made)
    return str(folder)


def make_next(made: Path) -> None:
    """Make it of a copy of this program's package."""
    (made / f"database/migrations/{NEXT:04d}_the_next.sql").write_text(_STEP)
    statements = made / "enqueueing/enqueue.sql"
    text = statements.read_text()
    for old, new in ((_COLUMNS, ", made_by"), (_VALUES, ", 'next'")):
        assert old in text
        head, tail = old.split("\n", 1)
        text = text.replace(old, f"{head}\n        {new}  -- since {NEXT}\n{tail}", 1)
    statements.write_text(text)
