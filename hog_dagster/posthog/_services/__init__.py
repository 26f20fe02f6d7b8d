"""The services of the client, one per group of endpoints."""
