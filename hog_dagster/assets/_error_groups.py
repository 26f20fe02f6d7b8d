"""Groups the errors of runs and log lines by their text, to show why runs fail.

Facts: a line or run names its step as `[Action:<id>]`; other tokens in brackets name a person, an
actor or a group. Texts of one cause differ in ids, numbers, times, addresses and e-mail addresses:
these are replaced, so that equal causes have equal texts and no row value reaches Dagster's event
log. Status codes stay, because they are the cause. Patterns are RE2's, which Arrow uses.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hog_dagster.assets._owner_names import owner_of
from hog_dagster.assets._redact import redact_messages
from hog_dagster.warehouse import Table, Warehouse, Window
from hog_dagster.warehouse.errors import TableMissing

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
#: The maximum length of a text, in characters.
_LONGEST = 400
#: The maximum number of different texts of one workflow and window; the rest are `OTHERS`.
_MOST = 500
OTHERS = "(other messages)"
_NO_TEXT = "(no message)"

#: Users and passwords in URLs, which look like e-mail addresses.
_USERS = r"(https?://)[^/@\s\"']*@"
_STEP = r"\[Action:(?P<step>[^\]|]+)[^\]]*\]"
#: Pattern -> replacement, in this order. Digits of a status code are taken apart at first, so that
#: the patterns of numbers do not match them, and put together in the end.
_NORMAL = (
    (r"^\s*" + _STEP.replace("(?P<step>", "(?:") + r"\s*", ""),
    (r"^Errored:\s*", ""),
    (r"\[redacted\]@|=\[redacted\]", ""),
    (r"\[(Action|Person|Actor|Group|Event|Workflow):[^\]]*\]", r"[\1]"),
    (r"(https?://)[^/@\s\"']*\*\*\*@\*\*\*", r"\1<host>"),
    (r"\*\*\*@\*\*\*", "<e-mail>"),
    (r"(https?://[^/?#\s\"'<>)\]]+)[/?#][^\s\"'<>)\]]*", r"\1/<path>"),
    (r"(?i)\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", "<id>"),
    (
        (
            r"(?i)\b((?:http|status|code|error)(?:[ _-]?code)?(?:/[\d.]+)?[^A-Za-z0-9]{1,3})"
            r"([1-5])(\d)(\d)\b"
        ),
        r"\1<q\2q\3q\4q>",
    ),
    (
        r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?(?:Z|[+-]\d{2}:?\d{2})?",
        "<time>",
    ),
    (r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", "<ip>"),
    (r"\+\d[\d ()./-]{6,}\d\b", "<n>"),
    (r"(?i)\b(?:0x)?[0-9a-f]*\d[0-9a-f]{7,}\b", "<id>"),
    (r"\b[A-Za-z0-9_-]*\d[A-Za-z0-9_-]{11,}\b", "<id>"),
    (r"\b[A-Za-z0-9_-]{12,}\d[A-Za-z0-9_-]*\b", "<id>"),
    (r"\b\d+(?:[.,:]\d+)*(ms|s|m|h|d|KB|MB|GB|%)?\b", r"<n>\1"),
    (r"<q(\d)q(\d)q(\d)q>", r"\1\2\3"),
    (r"\s+", " "),
)

#: Owner, step, text and window.
ErrorKey = tuple[str, str, str, Window]


@dataclass(frozen=True)
class ErrorRows:
    """Which rows of a table are errors, and the names of their columns.

    Args:
        only: column -> the value that an error's row has.
        message: the column of the text.
        run: the column of the run.
        at: columns of the time; the first that is not null counts.
        kind: the column of the kind of failure; empty where there is none.
    """

    only: Mapping[str, Any]
    message: str
    run: str
    at: tuple[str, ...]
    kind: str = ""


#: Of tables of log lines, and of runs.
LINES = ErrorRows({"level": "ERROR"}, "message", "instance_id", ("timestamp",))
RUNS = ErrorRows(
    {"status": "failed"},
    "error_message",
    "invocation_id",
    ("finished_at", "scheduled_at", "first_scheduled_at"),
    "error_kind",
)


@dataclass(frozen=True)
class ErrorGroup:
    """Errors of one workflow or function, step (empty for none) and text in one window; the run and
    the kind of failure are those of the last one."""

    owner: str
    step: str
    message: str
    window: Window
    count: int
    first: datetime
    last: datetime
    run: str
    kind: str | None = None

    @property
    def key(self) -> ErrorKey:
        """What tells one group from another."""
        return (self.owner, self.step, self.message, self.window)

    def __add__(self, other: "ErrorGroup") -> "ErrorGroup":
        newest = max(self, other, key=lambda one: (one.last, one.run))
        return replace(
            newest,
            count=self.count + other.count,
            first=min(self.first, other.first),
            kind=newest.kind or self.kind or other.kind,
        )


def grouped_text(messages: pa.Array) -> pa.Array:
    """Texts of errors, without nulls, as they are grouped: without their step, ids, numbers, times
    and addresses."""
    if not len(messages):
        return messages
    # Texts repeat: each is normalized once.
    encoded = pc.call_function("dictionary_encode", [messages.fill_null("")])
    how = pc.ReplaceSubstringOptions(pattern=_USERS, replacement=r"\1")
    texts = pc.call_function("replace_substring_regex", [encoded.dictionary], how)
    texts = redact_messages(texts, "mask")
    for pattern, replacement in _NORMAL:
        how = pc.ReplaceSubstringOptions(pattern=pattern, replacement=replacement)
        texts = pc.call_function("replace_substring_regex", [texts], how)
    texts = pc.call_function("utf8_trim_whitespace", [texts])
    cut = pc.SliceOptions(start=0, stop=_LONGEST)
    texts = pc.call_function("utf8_slice_codeunits", [texts], cut)
    empty = pc.call_function("equal", [texts, pa.scalar("")])
    texts = pc.call_function("if_else", [empty, pa.scalar(_NO_TEXT), texts])
    return texts.take(encoded.indices)


def error_groups(
    warehouse: Warehouse,
    table: Table,
    rows: ErrorRows,
    windows: Iterable[Window],
    scope: Mapping[str, Any],
) -> list[ErrorGroup]:
    """The errors that a table holds in windows that do not overlap, those with most rows first;
    none of a table that was not loaded yet. No request."""
    wanted = sorted(set(windows))
    owner, _ = owner_of(table)
    assert table.time_column is not None
    times = list(dict.fromkeys([table.time_column, *rows.at]))
    columns = [owner, rows.message, rows.run, *times, *([rows.kind] if rows.kind else [])]
    found: dict[ErrorKey, ErrorGroup] = {}
    texts: dict[tuple[str, Window], set[tuple[str, str]]] = {}
    try:
        for stretch in joined(wanted):
            for batch in warehouse.read_batches(
                table, columns=columns, window=stretch, scope={**scope, **rows.only}
            ):
                for group in _of_batch(batch, owner, table.time_column, rows, wanted):
                    _add(found, texts, group)
    except TableMissing:
        return []
    return sorted(found.values(), key=lambda one: (-one.count, one.owner, one.step, one.message))


def _add(
    found: dict[ErrorKey, ErrorGroup],
    texts: dict[tuple[str, Window], set[tuple[str, str]]],
    group: ErrorGroup,
) -> None:
    """Add a group to those found; once there are `_MOST` texts, a new text becomes `OTHERS`."""
    known = texts.setdefault((group.owner, group.window), set())
    if (group.step, group.message) not in known and len(known) >= _MOST:
        group = replace(group, step="", message=OTHERS)
    known.add((group.step, group.message))
    add_group(found, group)


def add_group(found: dict[ErrorKey, ErrorGroup], group: ErrorGroup) -> None:
    """Put a group among others; one with the same key is added up."""
    known = found.get(group.key)
    found[group.key] = group if known is None else known + group


def _of_batch(
    batch: pa.RecordBatch,
    owner: str,
    time_column: str,
    rows: ErrorRows,
    windows: Sequence[Window],
) -> Iterable[ErrorGroup]:
    if not batch.num_rows:
        return
    messages = batch.column(rows.message).fill_null("")
    step = pc.call_function("extract_regex", [messages], pc.ExtractRegexOptions(pattern=_STEP))
    times = batch.column(time_column).cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    starts = [(window.start - _EPOCH) // _MICROSECOND for window in windows]
    place = np.searchsorted(starts, times.to_numpy(), side="right") - 1
    kinds = batch.column(rows.kind) if rows.kind else pa.nulls(batch.num_rows, pa.string())
    lines = pa.table(
        {
            "owner": batch.column(owner),
            "step": pc.call_function("struct_field", [step], pc.StructFieldOptions([0])).fill_null(
                ""
            ),
            "message": _or_kind(grouped_text(messages), kinds),
            "window": pa.array(place),
            "at": pc.call_function("coalesce", [batch.column(name) for name in rows.at]),
            "run": batch.column(rows.run),
            "kind": kinds,
        }
    ).sort_by([("at", "descending"), ("run", "descending")])
    grouped = lines.group_by(["owner", "step", "message", "window"], use_threads=False).aggregate(
        [([], "count_all"), ("at", "min"), ("at", "max"), ("run", "first"), ("kind", "first")]
    )
    for row in grouped.to_pylist():
        yield ErrorGroup(
            row["owner"],
            row["step"],
            row["message"],
            windows[row["window"]],
            row["count_all"],
            row["at_min"],
            row["at_max"],
            row["run_first"],
            row["kind_first"],
        )


def _or_kind(texts: pa.Array, kinds: pa.Array) -> pa.Array:
    """The texts; for a run without a text, the kind of its failure."""
    without = pc.call_function("equal", [texts, pa.scalar(_NO_TEXT)])
    return pc.call_function("if_else", [without, kinds.fill_null(_NO_TEXT), texts])


def joined(windows: Iterable[Window]) -> list[Window]:
    """The windows in order; adjacent ones are joined."""
    found: list[Window] = []
    for window in sorted(windows):
        if found and window.start <= found[-1].end:
            last = found.pop()
            window = Window(last.start, max(last.end, window.end))
        found.append(window)
    return found
