"""Frames of users in the same warehouse: the IO manager."""

from hog_dagster.io_manager._manager import WarehouseIOManager as WarehouseIOManager

__all__ = [
    "WarehouseIOManager",
]
