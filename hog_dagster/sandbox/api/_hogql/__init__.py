"""HogQL: parsed, its names resolved, run by DuckDB over the tables of the sandbox."""
