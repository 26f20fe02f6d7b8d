"""Modules that take long to import, and that a code location does not need to be loaded."""

from importlib import import_module
from typing import Any


class Lazy:
    """Stands for a module, which is imported when something of it is used."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copy and pickle ask for these before the module is known
            raise AttributeError(name)
        return getattr(import_module(self._module), name)
