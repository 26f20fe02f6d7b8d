"""Responses that PostHog did not write say nothing of the effect, before it and after it."""

from collections.abc import Collection, Iterator
from typing import Any

import pytest

from hog_dagster.actions import Outcome, Source
from hog_dagster.sandbox import PROXY_ANSWERS
from tests.actions.kit import HOUR, Place

#: Redirects of a server that does not act: it never passes the request on, so none of them comes
#: after an effect.
SENT_ELSEWHERE = {
    f"redirect_{status}_{host}_host"
    for status, host in (
        (301, "other"),
        (302, "other"),
        (307, "same"),
        (307, "other"),
        (308, "same"),
        (308, "other"),
    )
}


class Kind:
    """One kind of action on one subject: what to do, and how often it was done."""

    path = ""
    generation = "current"

    def __init__(self) -> None:
        # Without HogQL, which this sandbox answers slowly.
        self.place = Place(self.generation, missing=["hogql_runs"], function_results=True)
        self.source = self.prepare()

    def prepare(self) -> Source:
        raise NotImplementedError

    def act(self) -> Outcome:
        raise NotImplementedError

    def effects(self) -> int:
        raise NotImplementedError

    def settle(self) -> None:
        """Act again, hours apart, as a sensor would."""
        for _ in range(3):
            self.place.wait(2 * HOUR)
            self.act()


class Replay(Kind):
    path, generation = "*/replay_blocked_run/", "docs"

    def prepare(self) -> Source:
        source = self.place.workflow()
        (self.run,) = self.place.blocked(source)
        return source

    def act(self) -> Outcome:
        return self.place.replay(self.source, [self.run]).results[self.run].outcome

    def effects(self) -> int:
        return self.place.again().get(self.run, 0)


class Rerun(Kind):
    path = "*/hog_flows/*/rerun/"

    def prepare(self) -> Source:
        source = self.place.workflow()
        self.run = self.place.failed(source)
        return source

    def act(self) -> Outcome:
        return self.place.rerun(self.source, [self.run]).results[self.run].outcome

    def effects(self) -> int:
        return self.place.again().get(self.run, 0)


class RerunBefore85156(Rerun):
    generation = "mid2026"


class FunctionRerun(Rerun):
    path = "*/hog_functions/*/rerun/"

    def prepare(self) -> Source:
        source = self.place.function()
        self.run = self.place.failed(source)
        return source


class Batch(Kind):
    path = "*/batch_jobs/"

    def prepare(self) -> Source:
        return self.place.workflow(trigger="batch")

    def act(self) -> Outcome:
        return self.place.batch(self.source, variables={"tier": "gold", "n": 1}).outcome

    def effects(self) -> int:
        return self.place.sends(self.source)


class BatchOnDocs(Batch):
    generation = "docs"


class Schedule(Kind):
    path = "*/schedules/"

    def prepare(self) -> Source:
        return self.place.workflow(trigger="batch")

    def act(self) -> Outcome:
        return self.place.schedule(self.source).outcome

    def effects(self) -> int:
        return self.place.schedules(self.source)


KINDS: tuple[type[Kind], ...] = (
    Replay,
    Rerun,
    RerunBefore85156,
    FunctionRerun,
    Batch,
    BatchOnDocs,
    Schedule,
)


def _cells(without: Collection[str] = ()) -> Iterator[Any]:
    """Each response with each kind; the normal suite takes each response once, the kinds by
    turns.
    """
    for number, name in enumerate(sorted(set(PROXY_ANSWERS).difference(without))):
        for index, kind in enumerate(KINDS):
            now = (number + number // len(KINDS)) % len(KINDS) == index
            marks = () if now else (pytest.mark.slow,)
            yield pytest.param(kind, name, marks=marks, id=f"{kind.__name__}-{name}")


@pytest.mark.parametrize(("kind", "name"), [*_cells()])
def test_an_answer_of_a_proxy_before_the_effect_ends_in_one_effect(
    kind: type[Kind], name: str
) -> None:
    one = kind()
    one.place.sandbox.fail_as(name, "POST", one.path)
    assert one.act() in (Outcome.IN_DOUBT, Outcome.NOT_SENT)
    assert one.effects() == 0
    one.settle()
    assert (one.effects(), set(one.place.states().values())) == (1, {"confirmed"})


@pytest.mark.parametrize(("kind", "name"), [*_cells(without=SENT_ELSEWHERE)])
def test_an_answer_of_a_proxy_after_the_effect_ends_in_one_effect(
    kind: type[Kind], name: str
) -> None:
    one = kind()
    one.place.sandbox.fail_as(name, "POST", one.path, effect=True)
    assert one.act() is Outcome.IN_DOUBT
    one.settle()
    assert (one.effects(), set(one.place.states().values())) == (1, {"confirmed"})
    assert one.place.posts(one.path) == 1
