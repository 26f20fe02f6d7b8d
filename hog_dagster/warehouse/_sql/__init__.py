"""The one place that writes SQL."""
