"""A dry run writes to the log the very request that a real run then sends."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acting_kit import House, Ran, house

Launch = Callable[..., Ran]


def replay(home: House) -> Launch:
    workflow = home.sandbox.world.add_workflow("W")["id"]
    runs = home.sandbox.world.add_blocked_runs(workflow, 1)
    return lambda **config: home.replay(workflow, runs, **config)


def rerun(home: House) -> Launch:
    workflow = home.sandbox.world.add_workflow("W")["id"]
    runs = [home.sandbox.world.add_run(workflow, "failed") for _ in range(3)]
    return lambda **config: home.replay(workflow, runs, **config)


def batch(home: House) -> Launch:
    workflow = home.sandbox.world.add_workflow("W", trigger="batch")["id"]
    return lambda **config: home.batch(workflow, key="1", variables={"a": 1}, **config)


def schedule(home: House) -> Launch:
    workflow = home.sandbox.world.add_workflow("W", trigger="batch")["id"]
    return lambda **config: home.schedule(workflow, variables={"a": 1}, **config)


def said(home: House, run_id: str) -> list[str]:
    """What the run wrote to its log of requests it would send."""
    texts = [str(entry.user_message) for entry in home.instance.all_logs(run_id)]
    found = [re.fullmatch(r'Dry run, workflow "[^"]+" \(\S+\): would (.*)', one) for one in texts]
    return [one[1] for one in found if one]


def comparable(body: dict[str, Any]) -> dict[str, Any]:
    """Without the token, which is good for a quarter of an hour, and without the present."""
    kept = {name: value for name, value in body.items() if name != "confirm_token"}
    if "filter" in kept:
        kept["filter"] = {n: v for n, v in kept["filter"].items() if n != "window_end"}
    return kept


@pytest.mark.parametrize(
    ("act", "generation"),
    [
        (replay, "docs"),
        (rerun, "mid2026"),
        (rerun, "current"),
        (batch, "docs"),
        (batch, "current"),
        (schedule, "current"),
    ],
)
def test_a_dry_run_logs_exactly_what_would_be_sent(
    tmp_path: Path, act: Callable[[House], Launch], generation: str
) -> None:
    with house(tmp_path, generation) as home:
        home.sandbox.world.add_person()
        launch = act(home)
        dry = launch(dry_run=True)
        assert dry.success
        assert home.states() == {}
        assert home.sandbox.count("POST", "*/hog_flows/0*") == 0
        (text,) = said(home, dry.run_id)
        assert launch(dry_run=False).success
        (sent,) = [
            r
            for r in home.sandbox.requests
            if r.method == "POST" and "blast_radius" not in r.path and "/query/" not in r.path
        ]
        method, address, body = text.split(" ", 2)
        assert (method, address) == (sent.method, home.url + sent.path)
        assert comparable(json.loads(body)) == comparable(sent.body)
