"""Which insights are loaded and how fresh; and each one as an asset of its own in the lineage.

Facts: an insight lives in PostHog, so Dagster sees it as an external asset, upstream of its table.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import dagster as dg

from hog_dagster.lineage._names import identifier, plain, sql_table_name
from hog_dagster.lineage._options import AssetOptions
from hog_dagster.policies import InsightSelection
from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog.models import Insight, User

#: An e-mail address that Dagster takes as an owner.
_EMAIL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._%+-]*@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}")


def find_selection(
    insight: Insight, selections: Iterable[InsightSelection]
) -> InsightSelection | None:
    """The first selection the insight is in; None when it is in none."""
    return next((selection for selection in selections if insight in selection), None)


@dataclass(frozen=True)
class InsightInfo:
    """What is known of an insight when definitions are built; plain data, to be kept as JSON."""

    id: int
    short_id: str
    title: str
    kind: str
    url: str
    description: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()

    @classmethod
    def of(cls, insight: Insight, project_url: str) -> Self:
        short_id = insight.short_id or str(insight.id)
        maker = insight.created_by
        return cls(
            id=insight.id,
            short_id=short_id,
            title=insight.title,
            kind=insight.kind,
            url=f"{project_url}/insights/{short_id}",
            description=insight.description or "",
            owner=(maker.email or "") if isinstance(maker, User) else "",
            tags=tuple(insight.tags),
        )


def project_page(client: PostHogClient) -> str:
    """The project's page in PostHog's UI."""
    return f"{client.host}/project/{client.project_id}"


def list_insights(
    client: PostHogClient, selections: Sequence[InsightSelection] = (InsightSelection(),)
) -> list[InsightInfo]:
    """The selected insights, as they are now: one request per 500 saved insights.

    Args:
        client: of the project.
        selections: which insights; one that meets one of them is listed.

    Returns:
        The insights, each once.
    """
    page = project_page(client)
    return [
        InsightInfo.of(insight, page)
        for insight in client.insights.list(saved=True)
        if find_selection(insight, selections)
    ]


def insight_key(info: InsightInfo, options: AssetOptions) -> dg.AssetKey:
    """The asset key of an insight itself, `posthog/insight/<title>_<short id>`; the short id alone
    where the title has no plain form."""
    label = "_".join(part for part in (plain(info.title), identifier(info.short_id)) if part)
    return dg.AssetKey([*options.key_prefix, "insight", label])


def owners_of(maker: str, options: AssetOptions) -> list[str]:
    """The owners of an object's asset: those of the options, else who made it, where Dagster takes
    the address; `o'brien@example.com` it does not take."""
    if options.owners:
        return list(options.owners)
    return [maker] if _EMAIL.fullmatch(maker) else []


def build_insight_specs(
    known: Iterable[InsightInfo], *, options: AssetOptions | None = None
) -> list[dg.AssetSpec]:
    """Each insight as an external asset: its link, kind, owner and tags, upstream of its table.

    Args:
        known: the insights, from `list_insights` or a component's state.
        options: how the assets look.

    Returns:
        One spec per insight.
    """
    options = options or AssetOptions()
    return [
        dg.AssetSpec(
            key=insight_key(info, options),
            description=f"{info.title}\n\n{info.description}".strip(),
            group_name=options.group_for("saved_insights"),
            kinds={"posthog", info.kind},
            owners=owners_of(info.owner, options),
            tags={**options.tags, **{_tag(tag): "" for tag in info.tags}},
            metadata={
                "posthog/url": dg.MetadataValue.url(info.url),
                "posthog/insight_id": info.id,
                "posthog/short_id": info.short_id,
                "posthog/table": _table_of(info),
            },
        )
        for info in known
    ]


def _table_of(info: InsightInfo) -> str:
    return sql_table_name(info.short_id) if info.kind == "sql" else f"insight_{info.kind}"


def _tag(tag: str) -> str:
    """A tag of PostHog as a tag key of Dagster: letters, digits, dots, dashes, underscores."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", tag)[:63].strip("._-")
    return plain or "tag"
