"""No models: the tables are jobsd's own. Django tells only apps with this file of a migrate."""
