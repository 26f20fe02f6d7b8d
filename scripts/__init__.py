"""Scripts that generate reference pages and check the words of the documentation."""
