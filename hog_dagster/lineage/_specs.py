"""How each kind of PostHog's objects looks as an external asset, before a translator changes it.

Facts: owners must be teams or e-mail addresses as Dagster knows them, tag values at most 63 plain
characters, kinds at most ten.
"""

import re

import dagster as dg

from hog_dagster.lineage._insight_selection import build_insight_specs, owners_of
from hog_dagster.lineage._names import plain
from hog_dagster.lineage._props import (
    DestinationProps,
    HogFunctionProps,
    InsightProps,
    Place,
    PostHogMetadata,
    TriggerProps,
    WorkflowProps,
)

__all__ = [
    "destination_spec",
    "function_spec",
    "insight_spec",
    "trigger_spec",
    "workflow_spec",
]

_SHOWN = 1000
#: What a trigger without a name does.
_STARTS = {
    "batch": "Starts runs for a whole audience, when a batch job is sent.",
    "event": "Starts runs when an event arrives in PostHog.",
    "manual": "Starts runs when somebody asks for them.",
    "schedule": "Starts runs by a schedule in PostHog.",
    "webhook": "Starts runs when a webhook of PostHog is called.",
}


def trigger_spec(props: TriggerProps) -> dg.AssetSpec:
    kind, name, place = props.trigger.kind, props.trigger.name, props.place
    usual = f"Starts runs in PostHog by {kind}."
    return dg.AssetSpec(
        key=_key(place, "trigger", props.label),
        description=f'The {kind} "{name}" starts runs in PostHog.'
        if name
        else _STARTS.get(kind, usual),
        group_name=place.options.group_for("triggers"),
        kinds={"posthog", _kind(kind)},
        owners=list(place.options.owners),
        tags=dict(place.options.tags),
        metadata=PostHogMetadata(
            type="trigger", id=props.id, project_id=place.project_id
        ).entries(),
    )


def workflow_spec(props: WorkflowProps) -> dg.AssetSpec:
    workflow, place = props.workflow, props.place
    page = f"{place.project_url}/{workflow.pages}/{workflow.id}"
    status = workflow.status or "unknown"
    return dg.AssetSpec(
        key=_key(place, "workflow", props.label),
        description=_described(workflow.name or "(no name yet)", workflow.description),
        group_name=place.options.group_for(plain(status) or "unknown"),
        deps=list(place.upstream),
        kinds={"posthog", "workflow", *sorted({_kind(d.kind) for d in workflow.destinations})[:6]},
        owners=owners_of(workflow.owner, place.options),
        tags={**place.options.tags, "posthog/status": _tag(status)},
        code_version=workflow.digest,
        metadata=PostHogMetadata(
            type="workflow",
            id=workflow.id,
            project_id=place.project_id,
            status=status,
            version=workflow.version,
            steps=workflow.steps,
            trigger=", ".join(t.name or t.kind for t in workflow.triggers),
            sends=", ".join(d.name or d.kind for d in workflow.destinations),
            made_by=workflow.owner,
            created_at=workflow.created_at,
            updated_at=workflow.updated_at,
            url=f"{page}/workflow",
            logs_url=f"{page}/logs",
            metrics_url=f"{page}/metrics",
        ).entries(),
    )


def function_spec(props: HogFunctionProps) -> dg.AssetSpec:
    function, place = props.function, props.place
    page = f"{place.project_url}/functions/{function.id}"
    status = "enabled" if function.enabled else "disabled"
    template = function.template_id.removeprefix("template-")
    return dg.AssetSpec(
        key=_key(place, "hog_function", props.label),
        description=_described(function.name or "(no name)", function.description),
        group_name=place.options.group_for(status),
        deps=list(place.upstream),
        kinds={"posthog", _kind(function.type), *([_kind(template)] if template else [])},
        owners=owners_of(function.owner, place.options),
        tags={
            **place.options.tags,
            "posthog/status": status,
            "posthog/function_type": _tag(function.type),
        },
        code_version=function.digest,
        metadata=PostHogMetadata(
            type="hog_function",
            id=function.id,
            project_id=place.project_id,
            status=status,
            version=function.version,
            trigger=", ".join(t.name or t.kind for t in function.triggers),
            sends=template if function.type == "destination" else None,
            made_by=function.owner,
            created_at=function.created_at,
            updated_at=function.updated_at,
            url=page,
            logs_url=f"{page}?tab=logs",
            metrics_url=f"{page}?tab=metrics",
        ).entries(),
    )


def destination_spec(props: DestinationProps) -> dg.AssetSpec:
    kind, name, place = props.destination.kind, props.destination.name, props.place
    many = len(place.upstream) != 1
    senders = f"{len(place.upstream)} workflow{'s' * many} or hog function{'s' * many}"
    what = f"{kind} {name}" if name else kind
    return dg.AssetSpec(
        key=_key(place, "destination", props.label),
        description=f"Where {senders} send{'' if many else 's'}: {what}.",
        group_name=place.options.group_for("destinations"),
        deps=list(place.upstream),
        kinds={"posthog", _kind(kind)},
        owners=list(place.options.owners),
        tags=dict(place.options.tags),
        metadata=PostHogMetadata(
            type="destination", id=props.id, project_id=place.project_id
        ).entries(),
    )


def insight_spec(props: InsightProps) -> dg.AssetSpec:
    insight, place = props.insight, props.place
    (spec,) = build_insight_specs([insight.info], options=place.options)
    own = PostHogMetadata(
        type="insight",
        id=insight.id,
        project_id=place.project_id,
        made_by=insight.info.owner,
        updated_at=insight.updated_at,
        url=insight.info.url,
    )
    return spec.replace_attributes(code_version=insight.digest or None).merge_attributes(
        metadata=own.entries()
    )


def _key(place: Place, kind: str, label: str) -> dg.AssetKey:
    return dg.AssetKey([*place.options.key_prefix, kind, label])


def _kind(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "", text.lower().replace(" ", "_"))[:40] or "other"


def _tag(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text)[:63]


def _described(name: str, text: str) -> str:
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return f"{name}\n\n{text}".strip()
