"""Log rows as Arrow record batches; the only module of the client that imports pyarrow.

Facts: measured on pages of 500 rows (``python -m bench.log_batches``): msgspec structs turned into
columns, several pages at a time, take less time than pyarrow's own JSON reader, and not much more
than parsing into dictionaries alone. Columns are put together from their buffers: pyarrow's own
way is no faster, and imports pandas, 35 MB of it, to see whether a list is a pandas object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from hog_dagster.posthog.errors import MalformedResponse, PostHogError
from hog_dagster.posthog.models.telemetry import LogRow

#: Rows of a batch, more or less: enough that Arrow's cost per call does not count.
ROWS = 5000
_TEXT = pa.string()
_TIME = pa.timestamp("us", "UTC")
SCHEMA = pa.schema(
    [
        pa.field("log_source_id", _TEXT, nullable=False),
        pa.field("instance_id", _TEXT, nullable=False),
        pa.field("timestamp", _TIME, nullable=False),
        pa.field("level", _TEXT, nullable=False),
        pa.field("message", _TEXT, nullable=False),
    ]
)


def batches(pages: Iterable[Sequence[LogRow]]) -> Iterator[pa.RecordBatch]:
    """Rows of pages, newest first, as record batches of :data:`SCHEMA`, none of them empty.

    The rows that came before a page that fails are yielded before its error is raised.
    """
    rows: list[LogRow] = []
    try:
        for page in pages:
            rows.extend(page)
            if len(rows) >= ROWS:
                yield _batch(rows)
                rows = []
    except PostHogError:
        if rows:
            yield _batch(rows)
        raise
    if rows:
        yield _batch(rows)


def _batch(rows: list[LogRow]) -> pa.RecordBatch:
    try:
        times = _text([row.timestamp for row in rows]).cast(_TIME)
    except pa.ArrowInvalid:
        raise MalformedResponse("A log row has a timestamp that is no time") from None
    ticks = np.frombuffer(times.buffers()[1], np.int64)
    if not (ticks[1:] <= ticks[:-1]).all():
        raise MalformedResponse("The log rows PostHog sent are not in order of time, newest first")
    return pa.RecordBatch.from_arrays(
        [
            _text([row.log_source_id for row in rows]),
            _text([row.instance_id for row in rows]),
            times,
            _text([row.level for row in rows]),
            _text([row.message for row in rows]),
        ],
        schema=SCHEMA,
    )


def _text(values: list[str]) -> pa.Array:
    """Strings as a column: their bytes one after another, and where each ends."""
    joined = "".join(values)
    parts = values if joined.isascii() else [value.encode() for value in values]
    ends = np.zeros(len(parts) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, parts), np.int32, len(parts)), out=ends[1:])
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(joined.encode())]
    return pa.Array.from_buffers(_TEXT, len(parts), buffers)
