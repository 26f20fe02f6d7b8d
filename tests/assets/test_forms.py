"""The forms that rows have between PostHog's response and the warehouse."""

import pyarrow as pa

from hog_dagster.assets._logs import _finished, _lines_of_batch
from hog_dagster.assets._owner_names import named
from hog_dagster.assets._workflow_tables import WORKFLOW_LOGS
from hog_dagster.posthog._services.log_batches import batches
from hog_dagster.posthog.models.telemetry import LogRow
from hog_dagster.warehouse._loading.stage import Stage


def addresses(batch: pa.RecordBatch) -> dict[str, list[int]]:
    return {
        name: [buffer.address for buffer in column.buffers() if buffer is not None]
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    }


def test_a_page_of_logs_gets_the_declared_schema_once() -> None:
    """What `_finished` makes is what the stage keeps: no column is copied or converted again."""
    rows = [
        LogRow("w1", f"run {n}", f"2026-11-01T00:00:{59 - n:02}Z", "INFO", "to ann@example.com")
        for n in range(50)
    ]
    (client,) = batches([rows[:20], rows[20:]])
    table = _finished(WORKFLOW_LOGS, "workflow_id", 1, "mask", _lines_of_batch(client))
    assert table.schema.equals(WORKFLOW_LOGS.arrow_schema)
    assert addresses(table)["timestamp"] == addresses(client)["timestamp"]
    (with_names,) = named(WORKFLOW_LOGS, [table], {"w1": "Welcome"})
    with Stage(WORKFLOW_LOGS, scope={"project_id": 1}) as stage:
        stage.fill([with_names])
        (kept,) = stage.batches()
    assert addresses(kept) == addresses(with_names)
    assert set(kept.column("workflow_name").to_pylist()) == {"Welcome"}
    assert not any("ann@" in text for text in kept.column("message").to_pylist())
