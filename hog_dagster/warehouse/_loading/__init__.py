"""Rows on their way into a table: made to fit, kept until all are here, one writer at a time."""
