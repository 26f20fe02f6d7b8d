"""How each kind of PostHog's objects looks as an external asset, before a translator changes it.

Facts: owners must be teams or e-mail addresses as Dagster knows them, tag values at most 63 plain
characters, kinds at most ten.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from hog_dagster.lineage._insight_selection import build_insight_specs, owners_of
from hog_dagster.lineage._names import plain
from hog_dagster.lineage._props import (
    DestinationProps,
    HogFunctionProps,
    InsightProps,
    PostHogMetadata,
    TriggerProps,
    WorkflowProps,
)

_SHOWN = 1000
#: What a trigger without a name does.
_STARTS = {
    "batch": "Starts runs for a whole audience, when a batch job is sent.",
    "event": "Starts runs when an event arrives in PostHog.",
    "manual": "Starts runs when somebody asks for them.",
    "schedule": "Starts runs by a schedule in PostHog.",
    "webhook": "Starts runs when a webhook of PostHog is called.",
}


def _spec(
    props: TriggerProps | WorkflowProps | HogFunctionProps | DestinationProps,
    group: str,
    kinds: Iterable[str],
    description: str,
    *,
    maker: str = "",
    tags: Mapping[str, str] | None = None,
    code_version: str | None = None,
    **metadata: Any,
) -> dg.AssetSpec:
    """What the specs of all objects have alike."""
    place = props.place
    about = PostHogMetadata(type=props.type, id=props.id, project_id=place.project_id, **metadata)
    return dg.AssetSpec(
        key=dg.AssetKey([*place.options.key_prefix, props.type, props.label]),
        description=description,
        group_name=place.options.group_for(group),
        deps=list(place.upstream),
        kinds={"posthog", *kinds},
        owners=owners_of(maker, place.options),
        tags={**place.options.tags, **(tags or {})},
        code_version=code_version,
        metadata=about.entries(),
    )


def trigger_spec(props: TriggerProps) -> dg.AssetSpec:
    kind, name = props.trigger.kind, props.trigger.name
    usual = _STARTS.get(kind, f"Starts runs in PostHog by {kind}.")
    said = f'The {kind} "{name}" starts runs in PostHog.' if name else usual
    return _spec(props, "triggers", [_kind(kind)], said)


def workflow_spec(props: WorkflowProps) -> dg.AssetSpec:
    workflow = props.workflow
    page = f"{props.place.project_url}/{workflow.pages}/{workflow.id}"
    status = workflow.status or "unknown"
    return _spec(
        props,
        plain(status) or "unknown",
        ["workflow", *sorted({_kind(d.kind) for d in workflow.destinations})[:6]],
        _described(workflow.name or "(no name yet)", workflow.description),
        maker=workflow.owner,
        tags={"posthog/status": _tag(status)},
        code_version=workflow.digest,
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
    )


def function_spec(props: HogFunctionProps) -> dg.AssetSpec:
    function = props.function
    page = f"{props.place.project_url}/functions/{function.id}"
    status = "enabled" if function.enabled else "disabled"
    template = function.template_id.removeprefix("template-")
    return _spec(
        props,
        status,
        [_kind(function.type), *([_kind(template)] if template else [])],
        _described(function.name or "(no name)", function.description),
        maker=function.owner,
        tags={"posthog/status": status, "posthog/function_type": _tag(function.type)},
        code_version=function.digest,
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
    )


def destination_spec(props: DestinationProps) -> dg.AssetSpec:
    kind, name, many = props.destination.kind, props.destination.name, len(props.place.upstream)
    s = "" if many == 1 else "s"
    said = f"Where {many} workflow{s} or hog function{s} send{'' if s else 's'}: {kind} {name}"
    return _spec(props, "destinations", [_kind(kind)], f"{said.rstrip()}.")


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


def _kind(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "", text.lower().replace(" ", "_"))[:40] or "other"


def _tag(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text)[:63]


def _described(name: str, text: str) -> str:
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return f"{name}\n\n{text}".strip()
