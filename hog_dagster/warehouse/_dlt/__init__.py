"""The adapter for the engines that dlt loads."""
