"""What a run of a job says of its actions: counts, what needs a look, names, links."""

from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg

from hog_dagster.actions import Outcome, Result, Source
from hog_dagster.jobs._replaying import SourceReplay, replay_table
from hog_dagster.resources import PostHogResource

#: Rows that are shown; Dagster keeps metadata with the event.
_SHOWN = 50
#: Of a batch job, where it is known.
_OF_A_BATCH = (
    "audience",
    "audience_limit",
    "cut",
    "mail",
    "tier",
    "suppressed",
    "suppressed_share",
    "opted_out",
    "opted_out_share",
    "not_read",
    "newest_unknown_job",
)
#: What needs a look.
_LOOK_AT = (Outcome.NOT_SENT, Outcome.IN_DOUBT, Outcome.REFUSED)


def counts_of(results: Iterable[Result]) -> dict[str, int]:
    """How many had which outcome, zeros too: plain numbers, for Dagster's plots."""
    counts = {str(outcome): 0 for outcome in Outcome}
    for result in results:
        counts[str(result.outcome)] += 1
    return counts


def names_of(sources: Sequence[Source]) -> str:
    """What some workflows and functions are called; the id where there is no name."""
    return "; ".join(source.name or source.id for source in sources)


def link_to(posthog: PostHogResource, source: Source, tab: str) -> str:
    """The page of a workflow or hog function in PostHog's UI."""
    if source.type == "workflow":
        return posthog.workflow_url(source.id, tab)
    return f"{posthog.project_url}/functions/{source.id}"


def replay_metadata(parts: Sequence[SourceReplay], posthog: PostHogResource) -> dict[str, Any]:
    """The metadata of a replay."""
    results = [result for part in parts for result in part.summary.results.values()]
    metadata: dict[str, Any] = {
        **counts_of(results),
        "target": dg.MetadataValue.text(names_of([part.source for part in parts])),
        "link": dg.MetadataValue.url(
            link_to(posthog, parts[0].source, "logs") if len(parts) == 1 else posthog.workflows_url
        ),
    }
    if rows := replay_table(parts):
        metadata["table"] = _table(rows[:_SHOWN])
    if rows := list(_needs_a_look(parts)):
        metadata["needs_a_look"] = _table(rows[:_SHOWN])
        if len(rows) > _SHOWN:
            metadata["needs_a_look_in_all"] = len(rows)
    return metadata


def result_metadata(result: Result, posthog: PostHogResource, source: Source) -> dict[str, Any]:
    """The metadata of one batch job or schedule."""
    metadata: dict[str, Any] = {
        **counts_of([result]),
        "why": dg.MetadataValue.text(result.why),
        "target": dg.MetadataValue.text(names_of([source])),
        "link": dg.MetadataValue.url(link_to(posthog, source, "metrics")),
    }
    if result.action_id is not None:
        metadata["action"] = result.action_id
    for name in _OF_A_BATCH:
        if result.details.get(name) is not None:
            metadata[name] = result.details[name]
    if "sends_email" in result.details:
        metadata["sends_email"] = bool(result.details["sends_email"])
        metadata["messages"] = ", ".join(result.details.get("messages") or []) or "none"
    return metadata


def _needs_a_look(parts: Sequence[SourceReplay]) -> Iterable[dict[str, Any]]:
    for part in parts:
        name = part.source.name or part.source.id
        for result in part.summary:
            if result.outcome in _LOOK_AT:
                yield {
                    "outcome": str(result.outcome),
                    "workflow": name,
                    "run": result.subject,
                    "why": result.why,
                    "action": result.action_id or 0,
                }


def _table(rows: Sequence[dict[str, Any]]) -> dg.TableMetadataValue:
    types = {int: "int", float: "float", bool: "bool"}
    columns = [
        dg.TableColumn(name, types.get(type(value), "string")) for name, value in rows[0].items()
    ]
    records = [dg.TableRecord(row) for row in rows]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))
