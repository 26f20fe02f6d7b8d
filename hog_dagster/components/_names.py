"""Checks names: those in the YAML against the state, and that of a component against its siblings.

Facts: the state is what `dg utils refresh-defs-state` read, so an object made since is not in it,
and a name that is not there is a warning and no error; PostHog sends a batch job only to a workflow
whose trigger is of type batch.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import dagster as dg

from hog_dagster.components._fields import ComponentFields
from hog_dagster.components._yaml import Path_, Source, dotted
from hog_dagster.lineage import Snapshot, WorkflowRecord, fingerprint
from hog_dagster.policies import did_you_mean, same_id

#: The module of the definitions -> name -> place and project of the component that has it.
_IN_CODE_LOCATION: WeakKeyDictionary[Any, dict[str, tuple[Any, Any]]] = WeakKeyDictionary()
_STALE = "refresh the state if it is new (dg utils refresh-defs-state)."


def refuse_namesakes(component: ComponentFields, context: dg.ComponentLoadContext) -> None:
    """Refuse, by a ValueError, a second component of the same name in one code location."""
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
    """Note in `source` whatever of the settings matches nothing in the state."""
    if snapshot.chosen and snapshot.chosen != chosen_text(component):
        source.note(
            ("workflows",),
            "workflows, hog_functions and insights select something else than when the state was "
            "read, so objects that are new to the selection are not shown yet. Run: "
            "dg utils refresh-defs-state.",
        )
    names = _Names(source)
    flows, functions = snapshot.workflows, snapshot.hog_functions
    chosen = component.workflows
    names.selected(("workflows",), chosen, flows, "workflow")
    names.known(
        ("workflows", "statuses"),
        chosen.statuses,
        {one.status for one in flows},
        "status of a workflow",
        hint=False,
    )
    if (wanted := component.hog_functions) is not None:
        names.selected(("hog_functions",), wanted, functions, "hog function")
        types = {one.type or "destination" for one in functions}
        what = "type of a hog function"
        names.known(("hog_functions", "types"), wanted.types, types, what, hint=False)
    known = [one.info for one in snapshot.insights]
    for number, one in enumerate(component.insights or ()):
        path = ("insights", number)
        names.matched((*path, "names"), one.names, [info.title for info in known], "insight")
        ids = [info.short_id for info in known]
        names.known((*path, "short_ids"), one.short_ids, ids, "insight")
        tags = {tag for info in known for tag in info.tags}
        names.known((*path, "tags"), one.tags, tags, "tag of an insight")
    if component.groups is not None and snapshot.group_types is not None:
        names.known(("groups", "types"), component.groups.types, snapshot.group_types, "group")
    of_all = [text for one in (*flows, *functions) for text in (one.id, one.name) if text]
    limits = {("safety",): component.safety, ("sensors", "replay"): component.sensors.replay}
    for path, limit in limits.items():
        for field in ("allow_workflows", "deny_workflows"):
            names.known((*path, field), getattr(limit, field, ()), of_all, "workflow")
    for number, job in enumerate(component.batch_jobs):
        names.can_be_sent(("batch_jobs", number, "workflow"), job.workflow, flows)


def chosen_text(component: ComponentFields) -> str:
    """What is selected, as text that is the same for the same settings."""
    parts = [component.workflows, component.hog_functions, *(component.insights or [None])]
    return fingerprint([repr(part) for part in parts])


@dataclass(frozen=True)
class _Names:
    """Notes values that fit nothing in the state."""

    source: Source

    def note(self, path: Path_, value: str, text: str) -> None:
        self.source.note(path, f"{dotted(path)} is {value!r}, {text}")

    def selected(self, path: Path_, choice: Any, objects: Sequence[Any], label: str) -> None:
        """The ids and names of a selection."""
        self.known((*path, "ids"), choice.ids, [one.id for one in objects], label, hint=False)
        self.matched((*path, "names"), choice.names, [one.name or "" for one in objects], label)

    def matched(
        self, path: Path_, patterns: Iterable[str], names: Sequence[str], label: str
    ) -> None:
        for number, pattern in enumerate(patterns):
            if not any(re.fullmatch(pattern, name, re.IGNORECASE) for name in names):
                meant = did_you_mean(pattern, names, _STALE)
                text = f"which matches no {label} of the state: {meant}"
                self.note((*path, number), pattern, text)

    def known(
        self,
        path: Path_,
        values: Iterable[str],
        known: Iterable[str],
        label: str,
        *,
        hint: bool = True,
    ) -> None:
        listed = {*known}
        ids = {same_id(one) for one in listed}
        for number, value in enumerate(values):
            if value not in listed and same_id(value) not in ids:
                meant = did_you_mean(value, listed if hint else (), _STALE)
                self.note((*path, number), value, f"which is no {label} of the state: {meant}")

    def can_be_sent(self, path: Path_, named: str, flows: Sequence[WorkflowRecord]) -> None:
        """The workflow of a batch job."""
        found = [one for one in flows if one.name == named or same_id(one.id) == same_id(named)]
        kinds = {trigger.kind for one in found for trigger in one.triggers}
        if not found:
            meant = did_you_mean(named, {one.name for one in flows if one.name}, _STALE)
            text = f"which is no workflow of the state, so it is not sent: {meant}"
        elif len(found) > 1:
            text = (
                f"and {len(found)} workflows are called so, so it is not sent: give an id "
                f"({', '.join(one.id for one in found)})."
            )
        elif kinds and not kinds & {"batch", "schedule"}:
            text = (
                f"which is started by {' and '.join(sorted(kinds))} and has no audience, so "
                "PostHog refuses to send it: name a workflow whose trigger is batch."
            )
        else:
            return
        self.note(path, named, text)
