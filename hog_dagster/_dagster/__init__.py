"""What the Dagster rooms share: failures, resource names, what of Dagster is not public."""
