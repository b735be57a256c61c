"""The face to operating system and operator: commands, assembly, pidfile, readiness."""
