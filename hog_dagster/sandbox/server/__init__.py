"""The server: sockets, keys, limits, faults, and the sandbox that tests start."""
