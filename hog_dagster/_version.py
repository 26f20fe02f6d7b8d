"""The version, in one place: the build reads it, the User-Agent and the registry name it."""

__version__ = "0.1.0"
