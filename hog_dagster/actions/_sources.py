"""Which workflows and hog functions to look at, and what people call them.

Facts: HogQL names every workflow and function with failed runs in one request; PostHog's global
metrics name workflows only, and leave batch runs out.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from difflib import get_close_matches
from uuid import UUID

from hog_dagster.actions._protocol import Actor, Source
from hog_dagster.actions._runs import has_hogql
from hog_dagster.policies import Safety, same_id
from hog_dagster.posthog import PostHogClient


class UnknownSource(ValueError):
    """A name or id that is no workflow (or hog function) of the project, or several."""


def all_sources(
    client: PostHogClient, *, workflows: bool = True, functions: bool = False
) -> list[Source]:
    """Every workflow, and every hog function if asked for; one request per 500 of them."""
    found: list[Source] = []
    if workflows:
        found += [
            Source(same_id(one.id), "workflow", one.name or "") for one in client.workflows.list()
        ]
    if functions:
        found += [
            Source(same_id(one.id), "hog_function", one.name or "")
            for one in client.hog_functions.list()
        ]
    return found


def resolve_sources(
    client: PostHogClient,
    wanted: Sequence[str],
    *,
    workflows: bool = True,
    functions: bool = False,
    known: Sequence[Source] | None = None,
) -> list[Source]:
    """Workflows (and functions) by name or id, in the order given.

    Args:
        client: an open client.
        wanted: names or ids.
        workflows: whether workflows are meant.
        functions: whether hog functions are meant.
        known: all there are (`all_sources`), when they were just read.

    Raises:
        UnknownSource: one is neither, or a name is shared by several; says which are meant.
    """
    if known is None:
        known = all_sources(client, workflows=workflows, functions=functions)
    kinds = [("workflow", workflows), ("hog function", functions)]
    what = " or ".join(kind for kind, meant in kinds if meant)
    return [_resolve(text, known, what) for text in wanted]


def _resolve(text: str, known: Sequence[Source], what: str) -> Source:
    name = same_id(text)
    if found := [source for source in known if source.id == name]:
        return found[0]
    found = [source for source in known if source.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(source.id for source in found)
        raise UnknownSource(f'{len(found)} have the name "{text}": give one of the ids {ids}.')
    folded = {source.name.casefold(): source.name for source in known if source.name}
    near = [folded[one] for one in get_close_matches(name.casefold(), folded, n=3)]
    hint = f" The nearest names: {', '.join(near)}." if near else ""
    if _is_uuid(name):
        hint = " Check the id, and that it belongs to this project."
    raise UnknownSource(f'This project has no {what} "{text}".{hint}')


def failing_sources(
    actor: Actor,
    since: datetime,
    safety: Safety,
    *,
    workflows: bool = True,
    functions: bool = False,
) -> list[Source]:
    """Workflows and functions that had a failed run since then and may be acted on, by id.

    Requests: the lists of workflows and functions (one per 500), and one for the failures.
    """
    known = {
        source.id: source
        for source in all_sources(actor.client, workflows=workflows, functions=functions)
        if safety.allows(source.id, source.name)
    }
    if has_hogql(actor):
        failing = set[str]()
        for wanted, service in (
            (workflows, actor.client.workflows),
            (functions, actor.client.hog_functions),
        ):
            if wanted:
                failing |= {same_id(one) for one in service.failing_sources(since)}
    else:
        failing = _by_rest(actor, since, known.values())
    return [known[one] for one in sorted(known) if one in failing]


def _by_rest(actor: Actor, since: datetime, known: Iterable[Source]) -> set[str]:
    """Where HogQL does not tell: what global metrics name; functions and batches always."""
    functions = set[str]()
    if actor.client.server.has("function_invocation_results"):
        functions = {source.id for source in known if source.type == "hog_function"}
    workflows = actor.client.workflows
    if not actor.client.server.has("global_metrics"):
        return functions | {same_id(one.id) for one in workflows.list(status="active")}
    # Metrics are counted by the hour, so an hour more than is needed.
    hours = min(int((actor.latest() - since).total_seconds() // 3600) + 2, 720)
    metrics = workflows.global_metrics(after=f"-{hours}h")
    failing = {same_id(one.workflow_id) for one in metrics if one.failed > 0}
    batches = {
        same_id(one.id)
        for one in workflows.list(status="active")
        if one.trigger.get("type") == "batch"
    }
    return functions | failing | batches


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
