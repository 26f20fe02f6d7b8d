"""Columns of one value, and short ones, without pyarrow's own scalars and lists.

Fact: the first time pyarrow is given a Python value it imports pandas, where there is one, to see
whether that is a pandas object: 35 MB of every process that only loads rows.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def repeated(value: Any, kind: pa.DataType, rows: int) -> pa.Array:
    """That many rows, all of the one value. ArrowException where it is not of the type."""
    if value is None:
        return pa.nulls(rows, kind)
    if type(value) is str and kind == pa.string():
        text = value.encode()
        ends = np.arange(rows + 1, dtype=np.int32) * np.int32(len(text))
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(text * rows)]
        return pa.Array.from_buffers(kind, rows, buffers)
    if type(value) is int and kind == pa.int64() and abs(value) < 2**63:
        number = value
    elif type(value) is datetime and value.tzinfo and kind == pa.timestamp("us", "UTC"):
        number = (value - _EPOCH) // timedelta(microseconds=1)
    else:
        return pa.repeat(pa.scalar(value, kind), rows)
    return pa.Array.from_buffers(
        kind, rows, [None, pa.py_buffer(np.full(rows, number, dtype=np.int64))]
    )


def listed(values: Iterable[Any], kind: pa.DataType) -> pa.Array:
    """An array of a few values."""
    values = list(values)
    if not values:
        return pa.nulls(0, kind)
    return pa.concat_arrays([repeated(value, kind, 1) for value in values])
