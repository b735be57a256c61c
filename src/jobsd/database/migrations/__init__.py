"""The tables, step by step: numbered SQL files that only go up."""
