"""The migrations that Django knows; each calls those of jobsd."""
