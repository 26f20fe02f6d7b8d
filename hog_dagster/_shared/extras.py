"""Says which extra of hog-dagster a missing package belongs to."""

from collections.abc import Iterator
from contextlib import contextmanager

#: Extra -> the packages that come with it.
_PACKAGES = {
    "sandbox": {"dateutil", "sqlglot", "starlette", "uvicorn"},
    "ui": {"dagster_webserver"},
}


class MissingExtra(ModuleNotFoundError):
    """A package is not installed that comes with an extra of hog-dagster; the text names it."""


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Import inside this, and a package of the extra that is missing is a MissingExtra which names
    both; `what` needs it, as its sentence begins: "The sandbox"."""
    try:
        yield
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if isinstance(missing, MissingExtra) or package not in _PACKAGES[extra]:
            raise
        raise MissingExtra(
            f'{what} needs {package}, which is not installed: pip install "hog-dagster[{extra}]"',
            name=package,
        ) from missing
