"""What every room may use: clock, secrets, extras, PostgreSQL URLs. It imports no room."""
