"""Builders that put workflows, hog functions, and what belongs to them into a world."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from hog_dagster.sandbox.world._analytics_builders import AnalyticsBuilders
from hog_dagster.sandbox.world._function_templates import find_template
from hog_dagster.sandbox.world._graphs import build_actions, build_edges, compile_graph
from hog_dagster.sandbox.world._hog import compile_filters, compile_hog, compile_inputs
from hog_dagster.sandbox.world._model import BatchJob, HogFunction, Person, Schedule, Workflow

WAIT_ACTION = "action_wait_until_condition_ab12cd34"


class Builders(AnalyticsBuilders):
    """Builders of workflows, hog functions and what belongs to them, and of people."""

    def add_workflow(
        self,
        name: str | None = "Workflow",
        trigger: str | dict[str, Any] = "event",
        actions: Any = None,
        status: str = "active",
        id: str | None = None,
        *,
        edges: Any = None,
        description: str = "",
        created_at: datetime | None = None,
        updated_at: datetime | None = None,
        variables: list[dict[str, Any]] | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Put a workflow into the project: id, name, status, trigger, actions and edges of it.

        Args:
            trigger: a trigger type ("event", "batch", "schedule", "webhook", "manual", ...) or a
                whole trigger config.
            actions: the steps without or with the trigger; None for a webhook step; ``{}`` for a
                row that never got a graph.
            fields: any other field of the row, such as `exit_condition`.
        """
        with self.lock:
            graph: Any = {} if actions == {} else build_actions(trigger, actions)
            if edges is None:
                edges = build_edges(graph) if graph else {}
            row = self._made(
                Workflow,
                {**fields, "id": id, "created_at": created_at, "updated_at": updated_at},
                name=name,
                description=description,
                status=status,
                actions=graph,
                edges=edges,
                variables=variables or [],
            )
            compile_graph(row)
            self.workflows[row.id] = row
            names = ("id", "name", "status", "trigger", "actions", "edges")
            return {name: getattr(row, name) for name in names}

    def add_hog_function(
        self,
        name: str = "Function",
        type: str | None = "destination",
        *,
        hog: str = "fetch(inputs.url);",
        inputs_schema: list[dict[str, Any]] | None = None,
        inputs: Mapping[str, Any] | None = None,
        filters: dict[str, Any] | None = None,
        enabled: bool = True,
        template_id: str | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Put a hog function into the project: id, name, type and enabled of it.

        Args:
            inputs: key -> ``{"value": ...}``; values of secret inputs are kept out of answers.
            template_id: a template of the project; its inputs schema is used when none is given.
            fields: any other field of `HogFunction`, such as `id`, or `state` for a disabled one.
        """
        with self.lock:
            schema = inputs_schema or []
            template = find_template(template_id)
            if template is not None:
                schema = inputs_schema or [dict(item) for item in template["inputs_schema"]]
                fields.setdefault("icon_url", template["icon_url"])
            secret = {item["key"] for item in schema if item.get("secret")}
            given = {key: dict(value) for key, value in (inputs or {}).items()}
            public = {key: value for key, value in given.items() if key not in secret}
            if type in ("transformation", "transformation_log"):
                peers = [row for row in self.hog_functions.values() if row.type == type]
                orders = [row.execution_order or 0 for row in peers if not row.deleted]
                fields.setdefault("execution_order", 1 + max(orders, default=0))
            row = self._made(
                HogFunction,
                fields,
                name=name,
                type=type,
                hog=hog,
                bytecode=compile_hog(hog),
                inputs_schema=schema,
                inputs=compile_inputs(public, schema),
                secrets={key: value for key, value in given.items() if key in secret},
                filters=compile_filters(dict(filters or {})),
                enabled=enabled,
                template_id=template_id,
            )
            self.hog_functions[row.id] = row
            return {"id": row.id, "name": row.name, "type": row.type, "enabled": row.enabled}

    def add_logs(self, workflow_id: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Store log rows: mappings with instance_id, timestamp (aware), level, message.

        `visible_at` makes a row arrive late; `unmerged` lets a second row of one run and time be
        seen beside the first. Returns how many rows the table holds more: it keeps one per run and
        time.
        """
        with self.lock:
            return sum(
                self.logs.add(
                    workflow_id,
                    str(row["instance_id"]),
                    row["timestamp"],
                    row.get("level", "INFO"),
                    row["message"],
                    visible_at=row.get("visible_at")
                    or row["timestamp"] + timedelta(seconds=self.log_lag),
                    unmerged=bool(row.get("unmerged")),
                )
                for row in rows
            )

    def emit_metric(
        self,
        source_id: str,
        at: datetime,
        name: str,
        kind: str,
        count: int = 1,
        instance_id: str = "",
        *,
        visible_at: datetime | None = None,
    ) -> None:
        """Count something, for a whole run or, with an action's id, for a step of one."""
        with self.lock:
            cell = (source_id, at, name, kind, count, instance_id)
            if visible_at is None:
                self.metrics.add(*cell)
            else:
                self.metrics.add_late(visible_at, *cell)

    def add_blocked_runs(
        self,
        workflow_id: str,
        n: int,
        unreplayable: int = 0,
        *,
        at: datetime | None = None,
        spacing: float = 0.0,
        action_id: str = WAIT_ACTION,
    ) -> list[dict[str, Any]]:
        """Block `n` runs as the deduplication fault did: one log row each, no more steps.

        Of them `unreplayable` can never be replayed: by turns the event is gone, or the message
        names none. `at` is the time of the newest row, a minute ago by default; `spacing` seconds
        are between rows, none as in a burst. Returns them newest first.
        """
        made: list[dict[str, Any]] = []
        with self.lock:
            newest = at or self.clock.now() - timedelta(minutes=1)
            newest = newest.replace(microsecond=newest.microsecond // 1000 * 1000)
            for index in range(n):
                moment = newest - timedelta(seconds=spacing * index)
                instance = self.ids.run(moment - timedelta(seconds=30))
                event: str | None = self.ids.event()
                lost = index < unreplayable
                message = (
                    f"[Action:{action_id}] Skipped: duplicate execution detected for event {event}"
                )
                if lost and index % 2:
                    message, event = f"[Action:{action_id}] duplicate execution detected", None
                else:
                    other = self.ids.row(moment)
                    message += f". Another invocation ({other}) is running"
                    if not lost and event:
                        self.event_uuids.add(event)
                self.logs.add(workflow_id, instance, moment, "WARN", message)
                row = {"instance_id": instance, "action_id": action_id, "event_uuid": event}
                made.append({**row, "timestamp": moment, "message": message})
        return made

    def add_person(self, distinct_id: str | None = None, **properties: Any) -> Person:
        """Add a person with these properties."""
        with self.lock:
            number = len(self.people) + 1
            person = Person(
                id=self.ids.row(self.clock.now()),
                distinct_id=distinct_id or f"user_{number}",
                properties=properties,
            )
            self.people.append(person)
            return person

    def add_schedule(self, workflow_id: str, rrule: str, **fields: Any) -> Schedule:
        """Add a schedule to a workflow."""
        with self.lock:
            starts = fields.get("created_at") or self.clock.now()
            row = self._made(
                Schedule, fields, workflow_id=workflow_id, rrule=rrule, starts_at=starts
            )
            self.schedules[row.id] = row
            return row

    def add_batch_job(self, workflow_id: str, **fields: Any) -> BatchJob:
        """Add a batch job to a workflow's history. This is a record only: nothing is sent."""
        with self.lock:
            by = fields.pop("created_by", None)
            row = self._made(BatchJob, fields, workflow_id=workflow_id, created_by=by)
            self.batch_jobs[row.id] = row
            return row

    def write_log(
        self,
        source_id: str,
        instance_id: str,
        level: str,
        message: str,
        *,
        lag: float | None = None,
    ) -> None:
        """A log row of this very moment, at millisecond precision, visible after the lag."""
        now = self.clock.now()
        at = now.replace(microsecond=now.microsecond // 1000 * 1000)
        wait = timedelta(seconds=self.log_lag if lag is None else lag)
        self.logs.add(source_id, instance_id, at, level, message, visible_at=now + wait)
