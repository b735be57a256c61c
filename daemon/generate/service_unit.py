"""Makes the systemd unit of one project from the unit that is shipped.

It changes only the paths, the user, and the sandboxing (`ProtectHome`, `PrivateTmp`) that would
hide those paths from the service.
"""

import grp
import pwd
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from jobsd.configuration.folder import QUEUE_FILE, RECURRING_FILE
from jobsd.configuration.options import TRYING, Options
from jobsd.errors import ConfigurationError, Fault
from jobsd.text import shipped_text

_SHIPPED = "shipped/systemd/jobsd.service"
_USER = "jobsd"
_HOMES = ("/home", "/root", "/run/user")
_PRIVATE = ("/tmp", "/var/tmp")  # noqa: S108 - a service has these for itself


def unit(options: Options, environ: Mapping[str, str]) -> str:
    """Return a unit that starts the daemon of this project with this Python.

    The service runs as the owner of the project's folder, or as the user of the shipped unit
    if root owns the folder.

    Raises:
        ConfigurationError: for a path that no unit can name.
    """
    root = options.root.resolve()
    user, group = _owner(root)
    text = shipped_text(_SHIPPED)
    changes = {
        "Description": f"Description=Background jobs and recurring tasks of {_text(root)}",
        "ExecStart": f"ExecStart={_program()} start",
        "ExecReload": f"ExecReload={_program()} reload --pid $MAINPID",
        "User": f"User={user}",
        "Group": f"Group={group}",
        "WorkingDirectory": f"WorkingDirectory={_text(root)}",
        "ProtectSystem": f"ProtectSystem=strict\nReadWritePaths={_word(f'-{root}/storage')}",
        **_walls(root),
        # The package has folders of its own.
        "Documentation": "",
        "StateDirectory": f"StateDirectory={_name(root)}",
    }
    for name, value in _variables(options, root, environ):
        changes[f"Environment={name}"] = f"Environment={_word(f'{name}={value}')}"
    if path := environ.get("PYTHONPATH"):
        absolute = ":".join(str((root / each).resolve()) for each in path.split(":") if each)
        changes["WorkingDirectory"] += f"\nEnvironment={_word(f'PYTHONPATH={absolute}')}"
    if settings := environ.get("DJANGO_SETTINGS_MODULE"):
        variable = _word(f"DJANGO_SETTINGS_MODULE={settings}")
        changes["WorkingDirectory"] += f"\nEnvironment={variable}"
    return "\n".join((*_head(root, user), *_changed(text, changes)))


def _changed(text: str, changes: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of the text, with the settings in `changes` replaced; "" drops one."""
    for line in text.splitlines():
        found = re.match(r"Environment=\w+|\w+", line)
        changed = changes.get(found[0], line) if found else line
        if changed or not line:
            yield changed


def _head(root: Path, user: str) -> Iterator[str]:
    name = _name(root)
    yield f"# For /etc/systemd/system/{name}.service; then:"
    yield f"#   systemctl daemon-reload && systemctl enable --now {name}"
    if user == _USER:
        yield f"# The user {_USER} must be able to read the project and Python. To create it:"
        yield f"#   useradd --system --shell /usr/sbin/nologin {_USER}"


def _name(root: Path) -> str:
    return f"jobsd-{re.sub(r'[^A-Za-z0-9_.-]', '-', root.name)}"


def _variables(
    options: Options, root: Path, environ: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    trying = options.environment in TRYING
    yield "JOBSD_ENV", "production" if trying else options.environment
    yield "JOBSD_CONFIG", str(root / (environ.get("JOBSD_CONFIG") or QUEUE_FILE))
    # A dash before the path allows the file to be missing.
    recurring = environ.get("JOBSD_RECURRING_SCHEDULE") or f"-{RECURRING_FILE}"
    dash = "-" if recurring.startswith("-") else ""
    yield "JOBSD_RECURRING_SCHEDULE", f"{dash}{root / recurring.removeprefix('-')}"


def _walls(root: Path) -> dict[str, str]:
    needed = (root, Path(sys.executable), Path(sys.executable).resolve())
    walls: dict[str, str] = {}
    if any(_is_below(path, _HOMES) for path in needed):
        walls["ProtectHome"] = "ProtectHome=read-only"
    if any(_is_below(path, _PRIVATE) for path in needed):
        walls["PrivateTmp"] = "PrivateTmp=no"
    return walls


def _is_below(path: Path, folders: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _owner(root: Path) -> tuple[str, str]:
    uid = root.stat().st_uid
    if uid == 0:
        return _USER, _USER
    try:
        known = pwd.getpwuid(uid)
        return known.pw_name, grp.getgrgid(known.pw_gid).gr_name
    except KeyError:
        return str(uid), str(root.stat().st_gid)


def _program() -> str:
    return f"{_word(sys.executable)} -P -m jobsd.daemon"


def _word(text: str) -> str:
    """Return the text as one word of a list, quoted if it has to be."""
    plain = _text(text)
    quoted = plain.replace('"', '\\"')
    return plain if re.fullmatch(r"[\w@%+=:,./-]+", plain) else f'"{quoted}"'


def _text(path: str | Path) -> str:
    """Return a path as an unquoted value: only percent signs are special to systemd."""
    text = str(path)
    if not text.isprintable() or "\\" in text:
        raise ConfigurationError((Fault(f"a systemd unit can't contain the path {text!r}"),))
    return text.replace("%", "%%")
