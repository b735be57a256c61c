"""The commands. `cli` loads the module of one by its name when it is called."""
