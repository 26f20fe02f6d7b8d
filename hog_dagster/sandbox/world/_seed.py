"""The populated project: what a small company's workflows look like after three months, made up
from the seed.

Everything is relative to the clock's start, so that the last two weeks always hold something to
load.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hog_dagster.sandbox.world._analytics_seed import seed_analytics
from hog_dagster.sandbox.world._builders import WAIT_ACTION
from hog_dagster.sandbox.world._graphs import email_step, event_trigger, step, webhook_step
from hog_dagster.sandbox.world._model import Person
from hog_dagster.sandbox.world._steps import email_of, path
from hog_dagster.sandbox.world._world import World

_EMAIL = ("email_sent", "email")
METRIC_DAYS, RUN_DAYS, LOG_DAYS = 90, 30, 16
_FIRST = ("Maria", "Jonas", "Aisha", "Tomas", "Lena", "Pavel", "Chloe", "Ravi", "Ingrid", "Mateo")
_LAST = ("Keller", "Okafor", "Novak", "Meyer", "Lindqvist", "Rossi", "Tanaka", "Haddad", "Silva")
_COUNTRIES = ("CH", "DE", "FR", "US", "IN", "NZ")
#: Share of a day's runs by UTC hour, and a weekday's weight from Monday on.
_HOURS = (1, 1, 1, 1, 1, 2, 4, 7, 10, 11, 10, 9, 9, 10, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1)
_WEEKDAYS = (1.0, 1.1, 1.15, 1.1, 0.95, 0.45, 0.4)


class Step(NamedTuple):
    """A step of a run that leaves traces; `after` are seconds from its start."""

    action: str
    after: float
    metric: tuple[str, str] | None = None


class Plan(NamedTuple):
    """How one seeded workflow runs."""

    workflow: str
    event: str
    per_day: float
    steps: tuple[Step, ...]
    failure_rate: float
    at_once: bool = False


class MadeRun(NamedTuple):
    """One made-up run."""

    id: str
    at: datetime
    person: Person
    event: str
    failed_at: int | None


def populate(world: World) -> None:
    """Fill an empty world. The metrics follow on first use: they are many."""
    chance = random.Random(f"seed:{world.seed}")
    now = world.clock.now().replace(microsecond=0)
    _people(world, chance, now - timedelta(days=200))
    plans = _workflows(world, now)
    runs = {plan.workflow: list(_runs(world, plan, chance, now)) for plan in plans}
    for plan in plans:
        for run in runs[plan.workflow]:
            if run.at >= now - timedelta(days=LOG_DAYS):
                _log(world, plan, run, now)
            if world.newer and run.at >= now - timedelta(days=RUN_DAYS):
                _result(world, plan, run)
    if world.newer:
        _resting(world, plans, chance, now)
        _reruns(world, chance, now)
    else:
        _block(world, plans[1].workflow, now)
    world.metrics.fill = lambda: _count(world, plans, runs)
    seed_analytics(world)


def _people(world: World, chance: random.Random, born: datetime) -> None:
    for number in range(1, 241):
        first, last = chance.choice(_FIRST), chance.choice(_LAST)
        properties = {
            "name": f"{first} {last}",
            "email": f"{first}.{last}{number}@example.com".lower(),
            "plan": chance.choices(("free", "pro", "enterprise"), (6, 3, 1))[0],
            "country": chance.choice(_COUNTRIES),
            "newsletter": chance.random() < 0.55,
        }
        world.people.append(
            Person(id=world.ids.row(born), distinct_id=f"user_{number:04}", properties=properties)
        )


def _workflows(world: World, now: datetime) -> list[Plan]:
    born = now - timedelta(days=200)

    def add(name: str, trigger: Any, steps: Any, days: int, **fields: Any) -> str:
        """A workflow that was last changed so many days ago."""
        fields = {"exit_condition": "exit_only_at_end", "created_at": born, **fields}
        changed = now - timedelta(days=days)
        return world.add_workflow(name, trigger, steps, updated_at=changed, **fields)["id"]

    welcome = add(
        "Welcome new users",
        event_trigger("signed up"),
        [
            email_step("action_function_email_welcome", "Welcome aboard"),
            step("action_delay_1", "delay", {"delay_duration": "1d"}, "Wait a day"),
            email_step("action_function_email_tips", "Three things to try first"),
        ],
        40,
        description="Two e-mails in the first two days after sign-up.",
    )
    paid = {"events": [{"id": "subscribed", "name": "subscribed", "type": "events", "order": 0}]}
    until = {"max_wait_duration": "11d", "events": [{"filters": paid}]}
    trial = add(
        "Trial ending",
        event_trigger("trial started"),
        [
            step(WAIT_ACTION, "wait_until_condition", until, "Until they subscribe"),
            email_step("action_function_email_trial", "Your trial ends in three days"),
        ],
        12,
        description="Reminds people who have not subscribed three days before their trial ends.",
        conversion={"filters": [], "events": [{"filters": paid}], "window_minutes": 20160},
        exit_condition="exit_on_conversion",
    )
    readers = {"key": "newsletter", "type": "person", "value": ["True"], "operator": "exact"}
    newsletter = add(
        "Monthly newsletter",
        {"type": "batch", "filters": {"properties": [readers]}},
        [email_step("action_function_email_news", "What is new this month")],
        20,
        variables=[{"key": "issue", "type": "string", "default": ""}],
    )
    win_back = add(
        "Win back quiet accounts",
        "schedule",
        [webhook_step("action_function_digest", "https://crm.example.com/quiet-accounts")],
        33,
    )
    contact = {
        "access_token": {"value": "crm-token-51cf0b7e", "secret": True},
        "email": {"value": "{person.properties.email}"},
    }
    crm = {"template_id": "template-crm-contact", "inputs": contact}
    upgrade = add(
        "Tell the CRM about upgrades",
        {
            "type": "webhook",
            "template_id": "template-source-webhook",
            "inputs": {
                "event": {"value": "plan upgraded"},
                "distinct_id": {"value": "{request.body.user}"},
                "auth_header": {"value": "Bearer whsec_8f2d61c0a94b", "secret": True},
            },
        },
        [
            step("action_function_crm", "function", crm, "Update contact", on_error="continue"),
            webhook_step("action_function_webhook_1", "https://hooks.example.com/upgrades"),
        ],
        3,
    )
    event = event_trigger("invite sent")
    add("Referral programme", event, None, 0, status="draft", exit_condition="exit_on_conversion")
    sale = [email_step("action_function_email_bf", "40 % off until Monday")]
    add("Black Friday", "batch", sale, 150, status="archived", exit_condition="exit_on_conversion")
    never_edited = now - timedelta(days=90)
    world.add_workflow(None, actions={}, status="draft", created_at=never_edited)
    world.add_schedule(
        win_back,
        "FREQ=WEEKLY;INTERVAL=1;BYDAY=MO",
        starts_at=_monday(now - timedelta(days=120)),
        timezone="Europe/Zurich",
        next_run_at=_monday(now + timedelta(days=7)),
        created_at=born,
        updated_at=now - timedelta(days=5),
    )
    for months in (3, 2, 1):
        at = (now - timedelta(days=30 * months)).replace(hour=10, minute=0, second=0, microsecond=0)
        job = world.add_batch_job(
            newsletter,
            created_at=at,
            filters=world.workflows[newsletter].trigger["filters"],
            variables={"issue": at.strftime("%Y-%m")},
            created_by=world.user,
        )
        job.tracked = world.newer
    first = Step("action_function_email_welcome", 1, _EMAIL)
    tips = Step("action_function_email_tips", 4, _EMAIL)
    reminder = Step("action_function_email_trial", 5, _EMAIL)
    update, hook = Step("action_function_crm", 1), Step("action_function_webhook_1", 2)
    digest = Step("action_function_digest", 1)
    return [
        Plan(welcome, "signed up", 22, (first, Step("action_delay_1", 2), tips), 0.03),
        Plan(trial, "trial started", 14, (Step(WAIT_ACTION, 1), reminder), 0.06),
        Plan(upgrade, "plan upgraded", 7, (update, hook), 0.08),
        Plan(win_back, "$scheduled", 24, (digest,), 0.02, at_once=True),
    ]


def _runs(world: World, plan: Plan, chance: random.Random, now: datetime) -> Iterator[MadeRun]:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for days in range(METRIC_DAYS - 1, -1, -1):
        day = midnight - timedelta(days=days)
        number = round(plan.per_day * _WEEKDAYS[day.weekday()] * chance.uniform(0.7, 1.3))
        if plan.at_once and day.weekday() != 0:
            continue
        starts = [day.replace(hour=9) for _ in range(number)]
        if not plan.at_once:
            hours = chance.choices(range(24), _HOURS, k=number)
            starts = sorted(
                day + timedelta(hours=hour, milliseconds=chance.randrange(3_600_000))
                for hour in hours
            )
        for at in starts:
            failed = None
            if chance.random() < plan.failure_rate:
                failed = len(plan.steps) - 1
            run = MadeRun(
                world.ids.run(at), at, chance.choice(world.people), world.ids.event(), failed
            )
            if at < now - timedelta(minutes=1):
                yield run


def _log(world: World, plan: Plan, run: MadeRun, now: datetime) -> None:
    person = f"[Person:{run.person.id}|{run.person.properties['name']}]"
    event = f"[Event:{run.event}|{plan.event}|{run.at.isoformat()}]"
    rows: list[tuple[float, str, str]] = [
        (0.0, "DEBUG", f"Starting workflow execution at trigger for {person} on {event}")
    ]
    for index, item in enumerate(plan.steps):
        rows.append((item.after, "DEBUG", f"Executing action [Action:{item.action}]"))
        if run.failed_at == index:
            rows.append((item.after + 0.2, "ERROR", _error(run, item)))
            break
        if world.newer and item.metric == _EMAIL:
            rows.append((item.after + 0.1, "INFO", _sent(world, plan, run, item.action)))
        after = plan.steps[index + 1].action if index + 1 < len(plan.steps) else "exit_node"
        rows.append((item.after + 0.2, "INFO", f"Workflow moved to action [Action:{after}]"))
    else:
        rows.append((plan.steps[-1].after + 0.3, "INFO", "Workflow completed"))
    for after, level, message in rows:
        at = run.at + timedelta(seconds=after)
        if at <= now:
            world.logs.add(plan.workflow, run.id, at, level, message)


def _result(world: World, plan: Plan, run: MadeRun) -> None:
    fields: dict[str, Any] = {}
    if run.failed_at is not None:
        step = plan.steps[run.failed_at]
        fields = {"fails_at": step.action, "error_kind": "http_5xx"}
        fields["error_message"] = _error(run, step)
    world.add_run(
        plan.workflow,
        "succeeded" if run.failed_at is None else "failed",
        run.at,
        run.id,
        distinct_id=run.person.distinct_id,
        person_id=run.person.id,
        finished_at=run.at + timedelta(seconds=plan.steps[-1].after + 0.3),
        event_uuid=run.event,
        globals={"event": {"uuid": run.event, "event": plan.event}},
        logged=False,
        **fields,
    )


def _error(run: MadeRun, step: Step) -> str:
    email = run.person.properties["email"]
    return f"[Action:{step.action}] Errored: delivery to {email} failed with HTTP 502"


def _sent(world: World, plan: Plan, run: MadeRun, action: str) -> str:
    step = next(one for one in path(world.workflows[plan.workflow]) if one["id"] == action)
    name, address, _ = email_of(step)
    to = run.person.properties["email"]
    return f"Email sent to {to} from {name} {address} [Email:{run.id}:{action}]"


def _resting(world: World, plans: list[Plan], chance: random.Random, now: datetime) -> None:
    """Runs that wait, one that has only just begun, and one that is stuck for ever."""
    welcome, trial = plans[0].workflow, plans[1].workflow
    for hours in (3, 9, 15, 21):
        at = now - timedelta(hours=hours, milliseconds=chance.randrange(3_000_000))
        for workflow, rests_at, wait in (
            (welcome, "action_delay_1", timedelta(days=1)),
            (trial, WAIT_ACTION, timedelta(days=11)),
        ):
            person = chance.choice(world.people)
            world.add_run(
                workflow,
                "running",
                at,
                distinct_id=person.distinct_id,
                person_id=person.id,
                waits_at=rests_at,
                busy_until=at + wait,
                logged=workflow == welcome,
            )
    world.add_run(welcome, "running", now - timedelta(seconds=20))
    world.add_run(trial, "running", now - timedelta(days=9, hours=5), in_flight=False)


def _reruns(world: World, chance: random.Random, now: datetime) -> None:
    """Some of the failed runs were run again, days later; some of those failed again."""
    failed = [run for run in world.runs.values() if run.status == "failed"]
    for run in failed:
        if run.kind != "hog_flow" or run.scheduled_at > now - timedelta(days=5):
            continue
        if chance.random() < 0.3:
            at = run.scheduled_at + timedelta(hours=chance.uniform(2, 70))
            status = "failed" if chance.random() < 0.25 else "succeeded"
            world.add_rerun(
                run.invocation_id, at, status, logged=at > now - timedelta(days=LOG_DAYS)
            )


def _of_email(sent: str) -> Iterator[tuple[str, timedelta]]:
    """What became of an e-mail, and how long after it was sent; always the same for the same."""
    chance = random.Random(sent)
    if chance.random() < 0.005:
        yield "email_bounced", timedelta(seconds=2)
        return
    yield "email_delivered", timedelta(seconds=2)
    if chance.random() < 0.42:
        yield "email_opened", timedelta(minutes=chance.expovariate(1 / 90))


def _count(world: World, plans: list[Plan], runs: dict[str, list[MadeRun]]) -> None:
    add, now = world.metrics.add, world.clock.now()
    for plan in plans:
        for run in runs[plan.workflow]:
            add(plan.workflow, run.at, "triggered", "other", 1)
            for index, item in enumerate(plan.steps):
                at = run.at + timedelta(seconds=item.after)
                if run.failed_at == index:
                    add(plan.workflow, at, "failed", "failure", 1, item.action)
                    break
                add(plan.workflow, at, "succeeded", "success", 1, item.action)
                if item.metric:
                    add(plan.workflow, at, *item.metric, 1, item.action)
                    for name, later in _of_email(f"{run.id} {item.action}"):
                        if at + later < now:
                            add(plan.workflow, at + later, name, "email", 1, item.action)
            end = run.at + timedelta(seconds=plan.steps[-1].after)
            name = ("succeeded", "success") if run.failed_at is None else ("failed", "failure")
            add(plan.workflow, end, *name, 1)


def _block(world: World, workflow: str, now: datetime) -> None:
    """14 blocked runs in three bursts; one has lost its event and one names none."""
    day = now - timedelta(days=2)
    world.add_blocked_runs(workflow, 5, at=day)
    world.add_blocked_runs(workflow, 4, at=day - timedelta(hours=7))
    world.add_blocked_runs(workflow, 5, 2, at=day - timedelta(hours=20))


def _monday(at: datetime) -> datetime:
    monday = at - timedelta(days=at.weekday())
    return monday.astimezone(UTC).replace(hour=8, minute=0, second=0, microsecond=0)
