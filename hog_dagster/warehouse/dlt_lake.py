"""Reading Delta tables (of dlt's filesystem destination) as Arrow, from a snapshot of the table."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from hog_dagster.warehouse.schema import ARROW_TYPES, Table

__all__ = ["arrow_name", "read_delta"]


def arrow_name(kind: pa.DataType) -> str:
    """Our name of an Arrow type, or Arrow's own where we have none."""
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    for name, known in ARROW_TYPES.items():
        if kind == known:
            return name
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return "bytes"
    return str(kind)


def read_delta(
    delta: Any,
    table: Table,
    names: Sequence[str],
    physical: Mapping[str, str],
    filtered: Any,
    order: Sequence[tuple[str, bool]],
    limit: int | None,
) -> Iterator[pa.RecordBatch]:
    """The rows of the window and scope; columns the table does not have yet are null.

    ``physical`` maps the declared names to the stored ones. Sorting holds the rows in memory;
    without it they stream.
    """
    dataset = delta.to_pyarrow_dataset()
    have = set(dataset.schema.names)
    stored = {name: physical[name] for name in names if physical[name] in have}
    keys = [
        (physical[name], "descending" if down else "ascending")
        for name, down in order
        if physical[name] in have
    ]
    wanted = list(dict.fromkeys([*stored.values(), *(name for name, _ in keys)]))
    scanner = dataset.scanner(columns=wanted, filter=filtered)
    batches: Iterator[pa.RecordBatch] = scanner.to_batches()
    if keys:
        batches = iter(scanner.to_table().sort_by(keys).to_batches())
    schema = table.arrow_schema_of(names)
    left = limit
    for batch in batches:
        if left is not None:
            if left <= 0:
                return
            batch = batch.slice(0, left)
            left -= batch.num_rows
        columns = [
            batch.column(stored[field.name]).cast(field.type)
            if field.name in stored
            else pa.nulls(batch.num_rows, field.type)
            for field in schema
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)
