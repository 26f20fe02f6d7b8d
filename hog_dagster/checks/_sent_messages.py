"""Are all sent messages there? What could not be read, and e-mail that PostHog lists no message of.

Facts: PostHog lists messages only where the server is set up to keep them; elsewhere the list is
empty without an error. A step that sends twice in a run is one message and two e-mails in the
metrics, so the two are not compared number by number.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from hog_dagster.assets import SENT_MESSAGES, WORKFLOW_METRICS
from hog_dagster.checks._context import (
    NO_PARTITION,
    CheckContext,
    CheckOutcome,
    Plan,
    Project,
    gaps_of,
    newest,
)
from hog_dagster.policies import Completeness
from hog_dagster.warehouse import Measure, Window
from hog_dagster.warehouse.errors import TableMissing

_NOT_KEPT = (
    "PostHog counts {emails:,} e-mails of {workflows} workflows and lists no message of them: the "
    "server is not set up to keep messages (MESSAGE_ASSETS_CAPTURE_ENABLED), or the days were "
    "loaded before they were listed; load them again."
)


def messages_plans(project: Project, rule: Completeness) -> Iterator[Plan]:
    """The check `is_complete` on `sent_messages`; one request where the server was not asked."""
    yield Plan(
        "is_complete",
        SENT_MESSAGES,
        partial(_judge, project, rule),
        rule.severity,
        "For the newest loaded days, all messages could be read, and there are some of each "
        "workflow whose e-mails PostHog counts.",
        asks=True,
    )


def _judge(project: Project, rule: Completeness, check: CheckContext) -> CheckOutcome:
    partitions = newest(check.loaded(project.partitions_def), rule.days)
    if not partitions:
        return NO_PARTITION
    if why := check.client.server.why_not("sent_messages"):
        return CheckOutcome(True, why)
    names = check.names()
    gaps = gaps_of(check, partitions)
    silent = Counter[str]() if gaps else _silent(check, Window.joined(partitions.values()))
    why = "no message is listed"
    found = [*gaps, *({"object": id, "emails": n, "why": why} for id, n in silent.most_common())]
    rows = [
        {"of": names.get(row["object"], row["object"])}
        | {name: row.get(name) for name in ("window", "emails", "why", "remedy")}
        for row in found
    ]
    said = []
    if gaps:
        said.append(f"{len(gaps)} parts could not be read.")
    if silent:
        said.append(_NOT_KEPT.format(emails=silent.total(), workflows=len(silent)))
    numbers = {"posthog/gaps": len(gaps), "posthog/workflows_without_messages": len(silent)}
    text = " ".join(said) or "Every message could be read."
    return CheckOutcome(not said, text, numbers, rows)


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
