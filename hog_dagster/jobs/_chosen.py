"""Which workflows and hog functions a job may act on: names and ids resolved, safety applied.

Facts: names change and can be shared, ids do neither; so a name is looked up at each run. No
Dagster in here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from hog_dagster.actions import Source, UnknownSource, all_sources, resolve_sources
from hog_dagster.policies import Safety, same_id
from hog_dagster.posthog import PostHogClient


@dataclass
class Chosen:
    """What may be acted on, what the project's safety settings keep out, and sentences about what
    else is worth knowing."""

    sources: list[Source] = field(default_factory=list)
    barred: list[Source] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def choose_sources(
    client: PostHogClient,
    safety: Safety,
    *,
    workflows: Sequence[str] = (),
    functions: Sequence[str] = (),
) -> Chosen:
    """Resolve names and ids, and leave out what the project's safety settings do not allow.

    Requests: one per 500 workflows, and one per 500 functions if functions are named.

    Raises:
        UnknownSource: a name or id is unknown or shared by several, or a name on the deny list is
            unknown, so that nobody can tell what it denies.
    """
    known = all_sources(client, workflows=True, functions=bool(functions))
    flows = [source for source in known if source.type == "workflow"]
    wanted = resolve_sources(client, workflows, known=flows)
    if functions:
        others = [source for source in known if source.type == "hog_function"]
        wanted += resolve_sources(client, functions, workflows=False, functions=True, known=others)
    chosen = Chosen(notes=check_lists(client, safety, known))
    for source in dict.fromkeys(wanted):
        allowed = safety.allows(source.id, source.name)
        (chosen.sources if allowed else chosen.barred).append(source)
    return chosen


def check_lists(client: PostHogClient, safety: Safety, known: Sequence[Source]) -> list[str]:
    """A sentence for each entry of the allow list, and each id on the deny list, that names nothing
    in this project; ``known`` are its workflows, and its hog functions where they were read.

    Raises:
        UnknownSource: a name on the deny list is unknown: what it should deny would be acted on.
    """
    notes: list[str] = []
    for field_name, listed in (
        ("allow_workflows", safety.allow_workflows),
        ("deny_workflows", safety.deny_workflows),
    ):
        unknown = [text for text in listed if not _is_known(text, known)]
        if unknown and not any(source.type == "hog_function" for source in known):
            known = [*known, *all_sources(client, workflows=False, functions=True)]
            unknown = [text for text in unknown if not _is_known(text, known)]
        for text in unknown:
            try:
                resolve_sources(client, [text], functions=True, known=known)
            except UnknownSource as error:
                why = f"{field_name}: {error}"
                if field_name == "deny_workflows" and not _is_id(text):
                    raise UnknownSource(f"{why} Nothing is sent until the list is right.") from None
                notes.append(why)
    return notes


def _is_known(text: str, known: Sequence[Source]) -> bool:
    name = same_id(text)
    return any(name in (source.id, source.name) for source in known)


def _is_id(text: str) -> bool:
    try:
        UUID(text.strip())
    except ValueError:
        return False
    return True
