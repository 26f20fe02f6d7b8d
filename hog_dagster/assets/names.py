"""Names of PostHog's objects as parts of asset keys, which is what Dagster's graph shows.

Facts: the last part of a key is the node's title in the graph and wants to be read by people; other
parts are shown only on the asset's own page.
"""

import re

__all__ = ["plain"]


def plain(text: str) -> str:
    """Letters, digits and underscores, in lower case; of any script."""
    return re.sub(r"[\W_]+", "_", text.lower()).strip("_")[:60].strip("_") or "unnamed"
