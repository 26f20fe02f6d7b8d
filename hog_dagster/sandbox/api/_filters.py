"""Property filters that make no audience, as a request that names them is answered."""

from collections.abc import Iterator
from contextlib import contextmanager

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.engine import InvalidFilters

__all__ = ["bad_filters_refused"]


@contextmanager
def bad_filters_refused() -> Iterator[None]:
    """Within the block, filters that cannot be read are answered with 400."""
    try:
        yield
    except InvalidFilters as error:
        raise errors.bad_input(str(error)) from None
