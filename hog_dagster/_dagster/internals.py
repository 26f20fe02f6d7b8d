"""What is used of Dagster and is not public, imported here and nowhere else.

Any release of Dagster may change it; `make test-lowest` and `make test` try the oldest and newest.

- `DefinitionsLoadContext`, `DefinitionsLoadType`: whether definitions are being loaded or made
  again in a run, what was kept for the run, and which version of a component's state is read.
- `set_defs_state_storage`: the state of the instance, for commands that load definitions.
- `AssetCheckExecutionRecord`, `AssetCheckExecutionRecordStatus`: the newest result of each check.
- `WILL_RETRY_TAG`: on a failed run that Dagster tries again, which is no alert yet.
- `cron_string_iterator`: the moments of a cron rule, as Dagster's schedules have them.
- `SENSOR_MODULE`: where Dagster copies sensors; its warnings of parameters in beta come from there.
"""

from dagster._core.definitions import sensor_definition
from dagster._core.definitions.definitions_load_context import (
    DefinitionsLoadContext,
    DefinitionsLoadType,
)
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)
from dagster._core.storage.defs_state.base import set_defs_state_storage
from dagster._core.storage.tags import WILL_RETRY_TAG
from dagster._utils.schedules import cron_string_iterator

__all__ = [
    "SENSOR_MODULE",
    "WILL_RETRY_TAG",
    "AssetCheckExecutionRecord",
    "AssetCheckExecutionRecordStatus",
    "DefinitionsLoadContext",
    "DefinitionsLoadType",
    "cron_string_iterator",
    "set_defs_state_storage",
]

SENSOR_MODULE = sensor_definition.__name__
