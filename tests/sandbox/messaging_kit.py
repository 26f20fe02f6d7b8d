"""A project that sends e-mail: a workflow of one e-mail step, people, and a frozen clock."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.engine import settle
from hog_dagster.sandbox.world._graphs import step
from tests.sandbox.conftest import Http

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def email_step(id: str = "mail", category: str | None = None, **fields: Any) -> dict[str, Any]:
    """An e-mail step, of a category where one is given."""
    email = {"from": "team@example.com", "to": "{person.properties.email}", "subject": "Hi"}
    config: dict[str, Any] = {
        "template_id": "template-email",
        "inputs": {"email": {"value": {**email, **fields}}},
    }
    if category is not None:
        config["message_category_id"] = category
    return step(id, "function_email", config)


class Post:
    """The project, its workflow, and what is asked of it."""

    def __init__(self, sandbox: Sandbox, http: Http, **mail: Any) -> None:
        sandbox.clock.freeze(NOW)
        self.sandbox, self.http, self.world = sandbox, http, sandbox.world
        self.mail = sandbox.world.mail
        self.mail.cache_lag = self.mail.suspension_lag = 0.0
        for name, value in mail.items():
            setattr(self.mail, name, value)
        self.workflow = self.workflow_of(email_step())

    def workflow_of(self, *steps: dict[str, Any], trigger: str = "event") -> str:
        return self.world.add_workflow("Welcome", trigger, actions=list(steps))["id"]

    def person(self, name: str = "ada") -> str:
        return self.world.add_person(name, email=f"{name}@example.com").id

    def send(self, name: str = "ada", workflow: str | None = None) -> str:
        """Let a run of the workflow begin and go as far as it goes in ten seconds."""
        if self.world.person(name) is None:
            self.person(name)
        who = self.world.person(name)
        assert who is not None
        run = self.world.start_run(
            workflow or self.workflow, distinct_id=name, person_id=who.id
        ).invocation_id
        self.advance(seconds=10)
        return run

    def messages(self, workflow: str | None = None, **params: Any) -> list[dict[str, Any]]:
        path = f"/hog_flows/{workflow or self.workflow}/assets/"
        answer = self.http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def lines(self, source: str | None = None) -> list[str]:
        """The lines of all runs about sending."""
        rows = self.world.logs.rows(source or self.workflow)
        return [row.message for row in rows if row.level != "DEBUG"]

    def counts(self, source: str | None = None) -> dict[str, int]:
        path = f"/hog_flows/{source or self.workflow}/metrics/totals/?breakdown_by=name"
        totals = self.http.get(path).json()["totals"]
        return {name: n for name, n in totals.items() if name.startswith("email_")}

    def status(self, run: str) -> str:
        settle(self.world)
        return self.world.runs[run].status

    def advance(self, **time: float) -> None:
        self.sandbox.clock.advance(timedelta(**time).total_seconds())
        settle(self.world)
