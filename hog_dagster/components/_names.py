"""Checks names: those in the YAML against the state, and that of a component against its siblings.

Facts: the state is what `dg utils refresh-defs-state` read, so an object made since is not in it,
and a name that is not there is a warning and no error; PostHog sends a batch job only to a workflow
whose trigger is of type batch.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import dagster as dg

from hog_dagster.components._fields import ComponentFields
from hog_dagster.components._yaml import Source, dotted
from hog_dagster.lineage import Snapshot, WorkflowRecord, fingerprint
from hog_dagster.policies import nearest, same_id

__all__ = ["check_names", "chosen_text", "refuse_namesakes"]

#: The module of the definitions -> name -> place and project of the component that has it.
_IN_CODE_LOCATION: WeakKeyDictionary[Any, dict[str, tuple[Any, Any]]] = WeakKeyDictionary()
_STALE = "refresh the state if it is new (dg utils refresh-defs-state)"


def refuse_namesakes(component: ComponentFields, context: dg.ComponentLoadContext) -> None:
    """Refuse a second component of the same name in one code location.

    Raises:
        ValueError: there is one; the text says how to tell the two apart.
    """
    mine = (context.component_loc, component.project_id)
    named = _IN_CODE_LOCATION.setdefault(context.component_tree.defs_module, {})
    place, project_id = named.setdefault(component.name, mine)
    if place != context.component_loc:
        called = f"the name {component.name!r}" if component.name else "no name"
        raise ValueError(
            f"PostHog projects {project_id} and {component.project_id} are components of one "
            f"code location and have "
            f"{called}, so their resources, jobs and sensors would be called alike: give each "
            "a name of its own under attributes, `name: eu` say."
        )


def check_names(component: ComponentFields, snapshot: Snapshot, source: Source) -> None:
    """Say what matches nothing in the state.

    Args:
        component: the settings.
        snapshot: the state: the selected workflows, hog functions and insights.
        source: where the settings stand; takes the warnings.
    """
    if snapshot.chosen and snapshot.chosen != chosen_text(component):
        source.note(
            ("workflows",),
            "workflows, hog_functions and insights select something else than when the state was "
            "read, so objects that are new to the selection are not shown yet. Run: "
            "dg utils refresh-defs-state.",
        )
    flows = snapshot.workflows
    _selected("workflows", component.workflows, flows, source)
    if component.hog_functions is not None:
        _selected("hog_functions", component.hog_functions, snapshot.hog_functions, source)
    for number, one in enumerate(component.insights or ()):
        _insights(number, one, snapshot, source)
    if component.groups is not None and snapshot.group_types is not None:
        _among(("groups", "types"), component.groups.types, snapshot.group_types, "group", source)
    sensor = component.sensors.replay
    lists: list[tuple[tuple[str, ...], Sequence[str]]] = [
        (("safety", "allow_workflows"), component.safety.allow_workflows),
        (("safety", "deny_workflows"), component.safety.deny_workflows),
    ]
    if sensor is not None:
        path = ("sensors", "replay")
        lists += [
            ((*path, "allow_workflows"), sensor.allow_workflows),
            ((*path, "deny_workflows"), sensor.deny_workflows),
        ]
    functions = [one for function in snapshot.hog_functions for one in (function.id, function.name)]
    known = [name for flow in flows for name in (flow.id, flow.name) if name]
    for path, names in lists:
        _among(path, names, [*known, *functions], "workflow", source)
    _batch_jobs(component.batch_jobs, flows, source)


def chosen_text(component: ComponentFields) -> str:
    """What is selected, as text that is the same for the same settings."""
    parts = [component.workflows, component.hog_functions, *(component.insights or [None])]
    return fingerprint([repr(part) for part in parts])


def _selected(what: str, choice: Any, known: Sequence[Any], source: Source) -> None:
    """Each condition of a selection fits something."""
    label = what.replace("_", " ").removesuffix("s")
    for number, id in enumerate(choice.ids):
        if same_id(id) not in {same_id(one.id) for one in known}:
            source.note(
                (what, "ids", number),
                f"{what}.ids[{number}] is {id!r}, which is no {label} of the state: {_STALE}.",
            )
    _patterns((what, "names"), choice.names, [one.name or "" for one in known], label, source)
    field, of = ("statuses", "status") if hasattr(choice, "statuses") else ("types", "type")
    held = {getattr(one, of) or "destination" for one in known}
    for number, value in enumerate(getattr(choice, field)):
        if value not in held:
            source.note(
                (what, field, number),
                f"{what}.{field}[{number}] is {value!r}, and no {label} of the state is: {_STALE}.",
            )


def _patterns(
    path: tuple[str | int, ...],
    patterns: Iterable[str],
    names: Sequence[str],
    label: str,
    source: Source,
) -> None:
    for number, pattern in enumerate(patterns):
        if any(re.fullmatch(pattern, name, re.IGNORECASE) for name in names):
            continue
        near = nearest(pattern, set(names))
        hint = f"did you mean {near}?" if near else f"{_STALE}."
        source.note(
            (*path, number),
            f"{dotted((*path, number))} is {pattern!r}, which matches no {label} of the state: "
            f"{hint}",
        )


def _insights(number: int, choice: Any, snapshot: Snapshot, source: Source) -> None:
    known = [one.info for one in snapshot.insights]
    path = ("insights", number)
    _patterns((*path, "names"), choice.names, [one.title for one in known], "insight", source)
    _among(
        (*path, "short_ids"), choice.short_ids, [one.short_id for one in known], "insight", source
    )
    tags = {tag for one in known for tag in one.tags}
    _among((*path, "tags"), choice.tags, tags, "tag of an insight", source)


def _among(
    path: tuple[str | int, ...],
    names: Iterable[str],
    known: Iterable[str],
    label: str,
    source: Source,
) -> None:
    listed = {*known}
    ids = {same_id(one) for one in listed}
    for number, name in enumerate(names):
        if name in listed or same_id(name) in ids:
            continue
        near = nearest(name, listed)
        hint = f"did you mean {near}?" if near else f"{_STALE}."
        source.note(
            (*path, number),
            f"{dotted((*path, number))} is {name!r}, which is no {label} of the state: {hint}",
        )


def _batch_jobs(jobs: Sequence[Any], flows: Sequence[WorkflowRecord], source: Source) -> None:
    for number, job in enumerate(jobs):
        path = ("batch_jobs", number, "workflow")
        found = [
            flow
            for flow in flows
            if flow.name == job.workflow or same_id(flow.id) == same_id(job.workflow)
        ]
        if not found:
            near = nearest(job.workflow, {flow.name for flow in flows if flow.name})
            hint = f"did you mean {near}?" if near else f"{_STALE}."
            source.note(
                path,
                f"{dotted(path)} is {job.workflow!r}, which is no workflow of the state, so it is "
                f"not sent: {hint}",
            )
        elif len(found) > 1:
            source.note(
                path,
                f"{dotted(path)} is {job.workflow!r}, and {len(found)} workflows are called so, so "
                f"it is not sent: give an id ({', '.join(flow.id for flow in found)}).",
            )
        else:
            kinds = {trigger.kind for trigger in found[0].triggers}
            if kinds and not kinds & {"batch", "schedule"}:
                source.note(
                    path,
                    f"{dotted(path)} is {job.workflow!r}, which is started by "
                    f"{' and '.join(sorted(kinds))} and has no audience, so PostHog refuses to "
                    "send it: name a workflow whose trigger is batch.",
                )
