"""``python -m hog_dagster.posthog.endpoints [PAGE]``: print the table of endpoints, or renew it in
a page. Facts: :mod:`table`.
"""

import sys
from pathlib import Path

from hog_dagster.posthog.endpoints.table import rewritten, table

if __name__ == "__main__":
    if len(sys.argv) > 1:
        page = Path(sys.argv[1])
        page.write_text(rewritten(page), "utf-8")
    else:
        print(table(), end="")
