"""Where rows wait between their source and the database: in memory, and beyond that on disk.

Rows come at the pace of a network; a database is opened only once all of them are here. So its lock
is held for the load alone, a source that fails midway touches nothing, and memory stays flat. The
file on disk has no name (it was unlinked at birth): a killed process leaves nothing behind.
"""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import pyarrow as pa

from hog_dagster.warehouse._loading.conform import Batch, Scope, conform, to_arrow
from hog_dagster.warehouse.errors import WarehouseUnavailable
from hog_dagster.warehouse.schema import Table, Window

_CHUNK_ROWS = 8_192
_CHUNK_BYTES = 4 * 1024 * 1024
_MEMORY_BYTES = 8 * 1024 * 1024


def _size(rows: pa.Table) -> int:
    """About how many bytes rows take."""
    try:
        return rows.nbytes
    except pa.ArrowTypeError:  # older versions cannot say it of string views
        return rows.get_total_buffer_size()


class Stage:
    """Collects the rows of one load, checked and in the declared schema. A context manager.

    ``memory_bytes`` is what is kept before the rest goes to an unnamed file in ``directory``
    (default: the system's temporary directory). ``rows`` and ``bytes`` say what was collected.
    """

    def __init__(
        self,
        table: Table,
        *,
        window: Window | None = None,
        scope: Scope | None = None,
        memory_bytes: int = _MEMORY_BYTES,
        directory: str | Path | None = None,
    ) -> None:
        self.table = table
        self.rows = 0
        self.bytes = 0
        self._window = window
        self._scope = dict(scope or {})
        self._memory_bytes = memory_bytes
        self._directory = directory
        self._kept: list[pa.RecordBatch] = []
        self._file: IO[bytes] | None = None
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kept.clear()
        if self._file is not None:
            self._file.close()

    def fill(self, batches: Iterable[Batch]) -> None:
        """Take all the batches. Errors of the source pass through as they are."""
        waiting: list[pa.Table] = []
        rows = size = 0
        for batch in batches:
            arrived = to_arrow(self.table, batch)
            if arrived.num_rows == 0:
                continue
            if waiting and not arrived.schema.equals(waiting[0].schema):
                self._take(waiting)
                waiting, rows, size = [], 0, 0
            waiting.append(arrived)
            rows += arrived.num_rows
            size += _size(arrived)
            if rows >= _CHUNK_ROWS or size >= _CHUNK_BYTES:
                self._take(waiting)
                waiting, rows, size = [], 0, 0
        if waiting:
            self._take(waiting)
        if self._writer is not None:
            self._writer.close()

    def _take(self, waiting: list[pa.Table]) -> None:
        rows = pa.concat_tables(waiting) if len(waiting) > 1 else waiting[0]
        rows = conform(self.table, rows, window=self._window, scope=self._scope)
        self.rows += rows.num_rows
        for chunk in rows.combine_chunks().to_batches(max_chunksize=_CHUNK_ROWS):
            self._keep(chunk)

    def _keep(self, chunk: pa.RecordBatch) -> None:
        size = chunk.nbytes
        held = self.bytes
        self.bytes += size
        if self._writer is None and held + size <= self._memory_bytes:
            self._kept.append(chunk)
            return
        try:
            if self._writer is None:
                self._file = tempfile.TemporaryFile(  # noqa: SIM115 (closed in __exit__)
                    prefix="hog_dagster-", dir=self._directory
                )
                self._writer = pa.ipc.new_stream(self._file, self.table.arrow_schema)
                for kept in self._kept:
                    self._writer.write_batch(kept)
                self._kept.clear()
            self._writer.write_batch(chunk)
        except OSError as error:
            raise WarehouseUnavailable(
                f"cannot keep the rows of {self.table.schema}.{self.table.name} in "
                f"{self._directory or tempfile.gettempdir()} until they are loaded: {error}"
            ) from error

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The collected rows, in order; may be asked for again."""
        if self._file is None:
            yield from self._kept
            return
        self._file.seek(0)
        with pa.ipc.open_stream(self._file) as reader:
            yield from reader

    def reader(self, *, number: str | None = None) -> pa.RecordBatchReader:
        """The collected rows as one Arrow stream; ``number`` names a column that counts them."""
        schema = self.table.arrow_schema
        if number is None:
            return pa.RecordBatchReader.from_batches(schema, self.batches())
        schema = schema.append(pa.field(number, pa.int64()))
        return pa.RecordBatchReader.from_batches(schema, self._numbered(schema))

    def _numbered(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        start = 0
        for batch in self.batches():
            numbers = pa.array(range(start, start + batch.num_rows), pa.int64())
            yield pa.RecordBatch.from_arrays([*batch.columns, numbers], schema=schema)
            start += batch.num_rows
