"""One request and its response: sending, waiting, receiving, redirects."""
