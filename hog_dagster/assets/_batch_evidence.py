"""What shows how a batch job went: sent messages, states of its runs, log lines, metrics.

Facts: PostHog files lines and metrics of a job's runs under the job's id, and the job's own lines
under it twice (source and instance); only its SQL shows them. Mail that is suppressed, suspended or
opted out leaves a line in a run that succeeds. Log rows can be stored twice until they are merged.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hog_dagster.assets._hogql import INVOCATION_RESULTS
from hog_dagster.assets._shared_reads import once
from hog_dagster.posthog import PostHogClient, errors, quoted

_NAME = "hog_dagster batch_results"
#: Jobs that one query names.
_JOBS = 200
#: What lines of runs say, by what it means. Builds differ; these words they share.
_LINES: Mapping[str, tuple[str, ...]] = {
    "suppressed": ("%recipient(s) on the suppression list%",),
    "opted_out": ("%Recipient has opted out%",),
    "suspended": ("%email sending is suspended%", "%email provider paused sending%"),
    "would_bounce": ("%would hard bounce.%",),
}
_WAITS = (
    "%reached its email sending limit%",
    "%Sending rate limit reached%",
    "%email sending limit, so this email is waiting%",
)
_CUT = ("%audience limit%", "%max cap%")
_LIMIT = re.compile(r"(?:audience limit of|max cap of|at most) ([\d,]+)", re.IGNORECASE)
#: Metrics of a job, by what they mean.
_METRICS = {
    "email_sent": "sent",
    "email_suppressed": "suppressed",
    "email_suspended": "suspended",
    "email_bounce_prevented": "would_bounce",
}


@dataclass
class JobEvidence:
    """What PostHog's SQL shows of one job; what it does not show is None.

    Attributes:
        runs: status -> runs.
        lines: what lines say -> runs of which they say it.
        metrics: what was counted.
        waiting: runs under way with a line that their mail waits.
        cut: the limit that the job's own line names; 0 where it names none; None without a line.
        why_not: a sentence when the SQL could not be asked.
    """

    runs: dict[str, int] | None = None
    lines: dict[str, int] | None = None
    metrics: dict[str, int] | None = None
    waiting: int | None = None
    cut: int | None = None
    why_not: list[str] = field(default_factory=list)


def read_evidence(client: PostHogClient, jobs: Sequence[str]) -> dict[str, JobEvidence]:
    """What PostHog's SQL shows of some jobs; four requests per 200, and two for those whose mail
    waits.

    A server or key without it costs the evidence, with a sentence.
    """
    found = {job: JobEvidence() for job in jobs}
    for start in range(0, len(jobs), _JOBS):
        part = {job: found[job] for job in jobs[start : start + _JOBS]}
        for read in (_runs, _metrics, _lines):
            try:
                read(client, part)
            except (
                errors.PermissionDenied,
                errors.EndpointMissing,
                errors.InvalidRequest,
                errors.QueryTooLarge,
            ) as error:
                for evidence in part.values():
                    evidence.why_not.append(f"{read.__name__.lstrip('_')}: {error}")
    return found


def _runs(client: PostHogClient, part: Mapping[str, JobEvidence]) -> None:
    table = _table_of_runs(client)
    sql = (
        "SELECT job, state, count() AS n FROM ("  # noqa: S608
        "SELECT invocation_id, any(parent_run_id) AS job, argMax(status, version) AS state "
        f"FROM {table} WHERE function_kind = 'hog_flow' AND parent_run_id IN ({_listed(part)}) "
        "GROUP BY invocation_id) GROUP BY job, state LIMIT 50000"
    )
    for evidence in part.values():
        evidence.runs = {}
    for row in client.query.rows(sql, name=_NAME):
        runs = part[row["job"]].runs
        assert runs is not None
        runs[row["state"]] = int(row["n"])


def _metrics(client: PostHogClient, part: Mapping[str, JobEvidence]) -> None:
    names = ", ".join(map(quoted, _METRICS))
    sql = (
        "SELECT app_source_id AS job, metric_name AS what, sum(count) AS n "  # noqa: S608
        f"FROM app_metrics WHERE app_source = 'hog_flow' AND app_source_id IN ({_listed(part)}) "
        f"AND metric_name IN ({names}) GROUP BY job, what LIMIT 50000"
    )
    for evidence in part.values():
        if evidence.runs:  # Else nothing proves that metrics of the job are filed here.
            evidence.metrics = {}
    for row in client.query.rows(sql, name=_NAME):
        evidence = part[row["job"]]
        evidence.metrics = {**(evidence.metrics or {}), _METRICS[row["what"]]: int(row["n"])}


def _lines(client: PostHogClient, part: Mapping[str, JobEvidence]) -> None:
    of_jobs = f"log_source = 'hog_flow' AND log_source_id IN ({_listed(part)})"
    # Aliases are no names of columns: ClickHouse would put the one in the place of the other.
    wanted = {**_LINES, "waits": _WAITS}
    counts = ", ".join(f"sum(said_{name}) AS runs_{name}" for name in wanted)
    flags = ", ".join(f"max(if({_said(texts)}, 1, 0)) AS said_{n}" for n, texts in wanted.items())
    everything = [text for texts in wanted.values() for text in texts]
    sql = (
        f"SELECT job, {counts} FROM ("  # noqa: S608
        f"SELECT log_source_id AS job, instance_id AS run, {flags} FROM log_entries "
        f"WHERE {of_jobs} AND instance_id != log_source_id AND ({_said(everything)}) "
        "GROUP BY job, run) GROUP BY job LIMIT 50000"
    )
    for evidence in part.values():
        if evidence.runs:  # Else nothing proves that lines of the job are filed here.
            evidence.lines, evidence.waiting = dict.fromkeys(_LINES, 0), 0
    waited: list[str] = []
    for row in client.query.rows(sql, name=_NAME):
        part[row["job"]].lines = {name: int(row[f"runs_{name}"]) for name in _LINES}
        if int(row["runs_waits"]):
            waited.append(row["job"])
    sql = (
        "SELECT log_source_id AS job, message FROM log_entries "  # noqa: S608
        f"WHERE {of_jobs} AND instance_id = log_source_id AND ({_said(_CUT, lower=True)}) "
        "LIMIT 50000"
    )
    for row in client.query.rows(sql, name=_NAME):
        named = _LIMIT.search(row["message"])
        part[row["job"]].cut = int(named[1].replace(",", "")) if named else 0
    _waiting(client, {job: part[job] for job in waited if _under_way(part[job])})


def _under_way(evidence: JobEvidence) -> bool:
    return evidence.runs is None or bool(evidence.runs.get("running"))


def _waiting(client: PostHogClient, part: Mapping[str, JobEvidence]) -> None:
    """Count runs under way with a line that their mail waits; a run can have ended since."""
    if not part:
        return
    if any(evidence.runs is None for evidence in part.values()):
        for evidence in part.values():
            evidence.waiting = None
        return
    lines = (
        "SELECT DISTINCT log_source_id AS job, instance_id AS run FROM log_entries "  # noqa: S608
        f"WHERE log_source = 'hog_flow' AND log_source_id IN ({_listed(part)}) "
        f"AND ({_said(_WAITS)})"
    )
    running = (
        "SELECT job, run FROM (SELECT any(parent_run_id) AS job, "  # noqa: S608
        "invocation_id AS run, argMax(status, version) AS state "
        f"FROM {_table_of_runs(client)} WHERE function_kind = 'hog_flow' "
        f"AND parent_run_id IN ({_listed(part)}) GROUP BY invocation_id) WHERE state = 'running'"
    )
    under_way = set(_pairs(client, running))
    counts: dict[str, int] = defaultdict(int)
    for job, run in set(_pairs(client, lines)) & under_way:
        counts[job] += bool(run)
    for job, evidence in part.items():
        evidence.waiting = counts[job]


def _pairs(client: PostHogClient, sql: str) -> Iterator[tuple[str, str]]:
    for page in client.query.pages(sql, key=["job", "run"], name=_NAME):
        job, run = page.columns.index("job"), page.columns.index("run")
        yield from ((row[job], row[run]) for row in page.rows)


def _table_of_runs(client: PostHogClient) -> str:
    """What this server calls the table of states of runs.

    Raises:
        EndpointMissing: it has none.
    """
    if not client.server.has("hogql_runs"):
        raise errors.EndpointMissing(client.server.why_not("hogql_runs"))
    return once(client, "name of the table of runs", lambda: _named(client))


def _named(client: PostHogClient) -> str:
    first, *others = INVOCATION_RESULTS.names
    try:
        client.query.page(f"SELECT 1 FROM {first} LIMIT 1", name=_NAME)  # noqa: S608
    except errors.InvalidRequest:
        return others[0]
    return first


def _listed(jobs: Iterable[str]) -> str:
    return ", ".join(map(quoted, jobs))


def _said(texts: Iterable[str], *, lower: bool = False) -> str:
    """The condition that a line says one of some texts."""
    column = "lower(message)" if lower else "message"
    return " OR ".join(f"{column} LIKE {quoted(text)}" for text in texts)
