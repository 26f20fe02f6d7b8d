"""The truth behind the double: stores, rows, and what goes on as the clock moves. No HTTP."""

from hog_dagster.sandbox.world._merging import MERGES
from hog_dagster.sandbox.world._world import WAIT_ACTION, World

__all__ = ["MERGES", "WAIT_ACTION", "World"]
