"""What the operating system and the operator see: commands, assembly, pidfile, readiness."""
