"""Keeping to the rate limits of a key: the limiter and where it counts."""
