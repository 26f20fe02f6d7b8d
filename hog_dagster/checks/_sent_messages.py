"""Are all sent messages there? What could not be read, and e-mail that PostHog lists no message of.

Facts: PostHog lists messages only where the server is set up to keep them; elsewhere the list is
empty without an error. A step that sends twice in a run is one message and two e-mails in the
metrics, so the two are not compared number by number.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial

import dagster as dg

from hog_dagster.assets import SENT_MESSAGES, WORKFLOW_METRICS
from hog_dagster.checks._completeness import gaps_of
from hog_dagster.checks._context import CheckContext, CheckOutcome, Plan, newest_windows
from hog_dagster.policies import Completeness
from hog_dagster.warehouse import Measure, Window
from hog_dagster.warehouse.errors import TableMissing

__all__ = ["messages_plan"]

_NOT_KEPT = (
    "PostHog counts {emails:,} e-mails of {workflows} workflows and lists no message of them: the "
    "server is not set up to keep messages (MESSAGE_ASSETS_CAPTURE_ENABLED), or the days were "
    "loaded before they were listed; load them again."
)


def messages_plan(partitions_def: dg.TimeWindowPartitionsDefinition, rule: Completeness) -> Plan:
    """The check `is_complete` on `sent_messages`. One request where the server was not asked yet.

    Args:
        partitions_def: of `sent_messages`.
        rule: severity, and how many of the newest loaded days.
    """
    return Plan(
        "is_complete",
        SENT_MESSAGES,
        partial(_judge, partitions_def, rule),
        rule.severity,
        "For the newest loaded days, all messages could be read, and there are some of each "
        "workflow whose e-mails PostHog counts.",
        asks=True,
    )


def _judge(
    partitions_def: dg.TimeWindowPartitionsDefinition, rule: Completeness, check: CheckContext
) -> CheckOutcome:
    loaded = check.loaded(partitions_def)
    windows = newest_windows(loaded, rule.days)
    if not windows:
        return CheckOutcome(True, "No partition has been loaded yet.")
    if why := check.client.server.why_not("sent_messages"):
        return CheckOutcome(True, why)
    names = check.names()
    gaps = [
        {
            "of": names.get(row["object"], row["object"]),
            "window": row.get("window"),
            "emails": None,
            "why": row.get("why"),
            "remedy": row.get("remedy"),
        }
        for row in gaps_of(check, loaded, windows)
    ]
    silent = Counter[str]() if gaps else _silent(check, windows)
    rows = [
        {
            "of": names.get(id, id),
            "window": None,
            "emails": many,
            "why": "no message is listed",
            "remedy": None,
        }
        for id, many in silent.most_common()
    ]
    said = []
    if gaps:
        said.append(f"{len(gaps)} parts could not be read.")
    if silent:
        said.append(_NOT_KEPT.format(emails=silent.total(), workflows=len(silent)))
    numbers = {"posthog/gaps": len(gaps), "posthog/workflows_without_messages": len(silent)}
    text = " ".join(said) or "Every message could be read."
    return CheckOutcome(not said, text, numbers, [*gaps, *rows])


def _silent(check: CheckContext, windows: Sequence[Window]) -> Counter[str]:
    """Workflow -> e-mails that were counted, of workflows of which no message is there."""
    emails: Counter[str] = Counter()
    messages: Counter[str] = Counter()
    value: dict[str, Measure] = {"many": ("sum", "value")}
    counted = {**check.scope, "level": "action", "metric": "email_sent"}
    with check.warehouse.reading():
        for window in windows:
            try:
                found = check.warehouse.aggregate(
                    WORKFLOW_METRICS,
                    by=["workflow_id"],
                    measures=value,
                    window=window,
                    scope=counted,
                )
            except TableMissing:
                return Counter()
            for row in found:
                emails[row["workflow_id"]] += row["many"] or 0
            for row in check.grouped(SENT_MESSAGES, ["workflow_id"], window=window, limit=100_000):
                messages[row["workflow_id"]] += row["rows"]
    return Counter({id: many for id, many in emails.items() if many and not messages[id]})
