"""What tests of assets share: quiet runs over some days, and a sandbox with its warehouse."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.world import step
from hog_dagster.warehouse import Table

__all__ = ["NOW", "QUIET", "Lab", "days", "events_of", "mail_steps"]

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def days(first: str, last: str | None = None) -> dict[str, str]:
    """The tags of a run over a range of partitions."""
    return {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last or first,
    }


def mail_steps() -> list[dict[str, Any]]:
    """The steps of a workflow that sends one e-mail."""
    inputs = {"email": {"value": {"to": "{person.properties.email}", "subject": "Hi"}}}
    config = {"template_id": "template-email", "inputs": inputs}
    return [step("mail", "function_email", config)]


class Lab:
    """A sandbox at `NOW`, and loads of its tables; test modules add to it."""

    def __init__(self, sandbox: Sandbox, found: Any, instance: dg.DagsterInstance) -> None:
        sandbox.clock.freeze(NOW)
        self.sandbox, self.world, self.mail = sandbox, sandbox.world, sandbox.world.mail
        self.resources, self.instance = found, instance
        self.begin()

    def begin(self) -> None:
        """Fill the sandbox."""

    def mailing(self, name: str) -> str:
        return self.world.add_workflow(name, actions=mail_steps())["id"]

    def send(self, at: datetime, name: str = "ada", workflow: str | None = None) -> str:
        """Send one e-mail; gives the run."""
        if self.world.person(name) is None:
            self.world.add_person(name, email=f"{name}@example.com")
        to = workflow or self.workflow
        return self.world.add_run(to, "succeeded", at, distinct_id=name).invocation_id

    workflow = ""

    def materialize(self, assets: list[Any], *of: str, **how: Any) -> dg.ExecuteInProcessResult:
        """Load assets, of some days where they have partitions."""
        return dg.materialize(
            assets,
            resources=self.resources,
            instance=self.instance,
            run_config=QUIET,
            tags=days(of[0], of[-1]) if of else {},
            **how,
        )

    def metadata(self, asset: Any) -> dict[str, Any]:
        """Load one asset; gives what it says."""
        (event,) = self.materialize([asset]).get_asset_materialization_events()
        return {name: one.value for name, one in event.materialization.metadata.items()}

    def rows_of(self, table: Table, **options: Any) -> list[dict[str, Any]]:
        with self.resources["warehouse"].open() as warehouse:
            return warehouse.read(table, **options).to_pylist()


def events_of(result: dg.ExecuteInProcessResult) -> dict[Any, Any]:
    """(table, partition) -> metadata."""
    return {
        (event.asset_key.path[-1], event.partition): event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }
