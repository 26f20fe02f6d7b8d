"""Makes a Dagster home for the demo and for `hog-dagster dev`, and says where things are kept.

Facts: a fresh instance greets the browser with a sign-up dialog unless `nux` is off; without
DAGSTER_HOME Dagster forgets runs and materializations when it stops.
"""

import os
from pathlib import Path

_DAGSTER_YAML = """\
# Made by hog-dagster for local use; in production see deploy/dagster.yaml.
telemetry:
  enabled: false
nux:
  enabled: false
run_monitoring:
  enabled: true
"""


def default_home() -> Path:
    """`DAGSTER_HOME`, else `.hog` in the current folder."""
    home = os.environ.get("DAGSTER_HOME", "").strip()
    return Path(home).expanduser() if home else Path(".hog").resolve()


def default_warehouse() -> str:
    """A DuckDB file in the Dagster home."""
    return str(default_home() / "warehouse.duckdb")


def make_home(folder: Path) -> Path:
    """Make a Dagster home with a quiet `dagster.yaml`; one that is there is left as it is. Its
    absolute path is given back."""
    folder = folder.expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "dagster.yaml"
    if not settings.exists():
        settings.write_text(_DAGSTER_YAML, encoding="utf-8")
    return folder
