"""The program as the operating system and the operator see it."""
