"""Files for other programs: units, platforms, orchestration, man pages, a new project.

The files that are shipped unchanged lie in `packaging`, `systemd` and `config`.
"""
