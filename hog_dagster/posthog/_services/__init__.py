"""The services of the client, one per family of endpoints."""
