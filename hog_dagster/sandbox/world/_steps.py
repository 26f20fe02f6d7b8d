"""The steps of a workflow in the order a run takes them: what they send, to whom, how long they
wait.
"""

import re
from datetime import timedelta
from typing import Any

from hog_dagster.sandbox.world._model import Person, Workflow

#: Step type -> the kind of message that leaves when it succeeds.
SENDING = {
    "function": "webhook",
    "function_email": "email",
    "function_sms": "sms",
    "function_push": "push",
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([dhms])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_PROPERTY = re.compile(r"\{person\.properties\.([^}]+)\}")


def path(workflow: Workflow) -> list[dict[str, Any]]:
    """The steps between trigger and exit, along the first way on of each."""
    actions = workflow.actions if isinstance(workflow.actions, list) else []
    known = {action.get("id"): action for action in actions if isinstance(action, dict)}
    edges = workflow.edges if isinstance(workflow.edges, list) else []
    following: dict[Any, Any] = {}
    for edge in sorted(edges, key=lambda edge: edge.get("type") != "continue"):
        following.setdefault(edge.get("from"), edge.get("to"))
    here = next((id for id, action in known.items() if action.get("type") == "trigger"), None)
    steps: list[dict[str, Any]] = []
    passed: set[Any] = set()
    while here in known and here not in passed:
        passed.add(here)
        if known[here].get("type") not in ("trigger", "exit"):
            steps.append(known[here])
        here = following.get(here)
    return steps


def wait_of(step: dict[str, Any]) -> timedelta:
    """How long a run rests at a step. A condition is met at once in this world."""
    if step.get("type") != "delay":
        return timedelta()
    found = _DURATION.fullmatch(str(_config(step).get("delay_duration", "")).strip())
    return timedelta(**{_UNITS[found[2]]: float(found[1])}) if found else timedelta()


def email_of(step: dict[str, Any]) -> tuple[str, str, str]:
    """Sender's name and address, and the subject, of an e-mail step."""
    email = _value(step, "email")
    email = email if isinstance(email, dict) else {}
    sender = email.get("from")
    if isinstance(sender, dict):
        name, address = str(sender.get("name") or ""), str(sender.get("email") or "")
    else:
        address = str(sender or "team@example.com")
        name = address.partition("@")[0].capitalize()
    return name, address, str(email.get("subject") or "")


def sends_email(workflow: Workflow) -> bool:
    """Whether a workflow holds an e-mail step."""
    steps = workflow.actions if isinstance(workflow.actions, list) else []
    return any(isinstance(one, dict) and one.get("type") == "function_email" for one in steps)


def addresses(step: dict[str, Any], to: str) -> list[str]:
    """Every address an e-mail step writes to: to, cc and bcc."""
    email = _value(step, "email")
    found = [to]
    for name in ("cc", "bcc"):
        held = email.get(name) if isinstance(email, dict) else None
        texts = held.split(",") if isinstance(held, str) else held if isinstance(held, list) else []
        found += [str(one).strip() for one in texts if str(one).strip()]
    return found


def category_of(step: dict[str, Any]) -> str:
    """The id of the topic of a step; empty for none."""
    return str(_config(step).get("message_category_id") or "")


def recipient(step: dict[str, Any], person: Person | None, distinct_id: str) -> str:
    """Whom or what a sending step reaches."""
    kind = step.get("type")
    if kind == "function_email":
        email = _value(step, "email")
        to: Any = email.get("to") if isinstance(email, dict) else None
        to = to.get("email") if isinstance(to, dict) else to
        return _filled(str(to or "{person.properties.email}"), person, distinct_id)
    if kind == "function_sms":
        return _filled(str(_value(step, "to_number") or ""), person, distinct_id)
    if kind == "function":
        return str(_value(step, "url") or "")
    return distinct_id


def _filled(text: str, person: Person | None, distinct_id: str) -> str:
    def value(found: re.Match[str]) -> str:
        held = person.properties.get(found[1]) if person else None
        return distinct_id if held is None else str(held)

    return _PROPERTY.sub(value, text)


def _config(step: dict[str, Any]) -> dict[str, Any]:
    config = step.get("config")
    return config if isinstance(config, dict) else {}


def _value(step: dict[str, Any], name: str) -> Any:
    inputs = _config(step).get("inputs")
    held = inputs.get(name) if isinstance(inputs, dict) else None
    return held.get("value") if isinstance(held, dict) else None
