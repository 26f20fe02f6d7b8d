"""Builders that put workflows, logs, counts, people, schedules and batch jobs into a world."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from hog_dagster.sandbox.world._analytics_builders import AnalyticsBuilders
from hog_dagster.sandbox.world._graphs import build_actions, build_edges, compile_graph
from hog_dagster.sandbox.world._model import BatchJob, Person, Schedule, Workflow

__all__ = ["WAIT_ACTION", "Builders"]

WAIT_ACTION = "action_wait_until_condition_ab12cd34"


class Builders(AnalyticsBuilders):
    """Builders of workflows and what belongs to them, and of people."""

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
        """Put a workflow into the project.

        Args:
            trigger: a trigger type ("event", "batch", "schedule", "webhook", "manual", ...) or a
            whole
                trigger config.
            actions: the steps without or with the trigger; None for a webhook step; ``{}`` for a
            row
                that never got a graph.
            fields: any other field of the row, such as `exit_condition`.

        Returns:
            The stored row in short: id, name, status, trigger, actions, edges.
        """
        with self.lock:
            now = created_at or self.clock.now()
            graph: Any = {} if actions == {} else build_actions(trigger, actions)
            wires = edges
            if edges is None:
                wires = build_edges(graph) if graph else {}
            row = Workflow(
                id=id or self.ids.row(now),
                name=name,
                description=description,
                status=status,
                created_at=now,
                updated_at=updated_at or now,
                created_by=fields.pop("created_by", self.user),
                actions=graph,
                edges=wires,
                variables=variables or [],
                **fields,
            )
            compile_graph(row)
            self.workflows[row.id] = row
            return {
                "id": row.id,
                "name": row.name,
                "status": row.status,
                "trigger": row.trigger,
                "actions": row.actions,
                "edges": row.edges,
            }

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
        """Count something.

        `instance_id` is empty for a whole run, an action's id for a step of one.
        """
        with self.lock:
            if visible_at is None:
                self.metrics.add(source_id, at, name, kind, count, instance_id)
            else:
                self.metrics.add_late(
                    source_id, at, name, kind, count, instance_id, visible_at=visible_at
                )

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

        Args:
            n: how many in all, of which `unreplayable` can never be replayed: by turns the event is
                gone, or the message names none.
            at: time of the newest log row; a minute ago by default.
            spacing: seconds between rows; 0 gives all the same timestamp, as a burst does.

        Returns:
            instance_id, action_id, event_uuid, timestamp and message of each, newest first.
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
                made.append(
                    {
                        "instance_id": instance,
                        "action_id": action_id,
                        "event_uuid": event,
                        "timestamp": moment,
                        "message": message,
                    }
                )
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
            now = fields.pop("created_at", None) or self.clock.now()
            fields.setdefault("starts_at", now)
            row = Schedule(
                id=self.ids.row(now),
                workflow_id=workflow_id,
                rrule=rrule,
                created_at=now,
                updated_at=fields.pop("updated_at", now),
                **fields,
            )
            self.schedules[row.id] = row
            return row

    def add_batch_job(self, workflow_id: str, **fields: Any) -> BatchJob:
        """Add a batch job to a workflow's history. This is a record only: nothing is sent."""
        with self.lock:
            at = fields.pop("created_at", None) or self.clock.now()
            row = BatchJob(
                id=self.ids.row(at),
                workflow_id=workflow_id,
                created_at=at,
                updated_at=fields.pop("updated_at", at),
                **fields,
            )
            self.batch_jobs[row.id] = row
            return row

    # -- what the server writes itself -------------------------------------------------------------

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
