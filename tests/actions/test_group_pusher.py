"""What the pusher of groups leaves alone, beside what its asset's tests send."""

import math
from decimal import Decimal
from typing import Any

import pytest

from hog_dagster.actions._group_plan import GroupChange, PushPlan, _as_json
from hog_dagster.actions._group_push import GroupPusher, PushedGroup
from tests.actions.kit import Place


class Pushes:
    """A pusher, and what it recorded."""

    def __init__(self, **options: Any) -> None:
        self.place = Place()
        self.recorded: list[PushedGroup] = []
        self.pusher = GroupPusher(
            self.place.client(),
            "organization",
            0,
            lambda pushed, _way: self.recorded.extend(pushed),
            **options,
        )

    def results(self) -> dict[str, str]:
        return {one.change.key: one.result for one in self.recorded}


def test_what_was_sent_in_bulk_lately_is_not_sent_again() -> None:
    pushes = Pushes(pending={"acme": {"plan": "free"}})
    plan = PushPlan(changes=(GroupChange("acme", exists=False, set={"plan": "free"}),))
    assert pushes.pusher.send_one_by_one(plan).counts == {"as_wanted": 1}
    assert pushes.results() == {"acme": "as_wanted"}
    assert pushes.place.sandbox.count("POST", "*/groups/") == 0


def test_a_group_that_is_gone_since_the_plan_was_made_is_left() -> None:
    pushes = Pushes()
    plan = PushPlan(changes=(GroupChange("gone", exists=True, set={"plan": "free"}),))
    summary = pushes.pusher.send_one_by_one(plan)
    assert summary.counts == {"edited": 1}
    assert pushes.place.sandbox.count("POST", "*/groups/*") == 0


@pytest.mark.parametrize("value", [math.inf, -math.inf, Decimal("Infinity")])
def test_an_infinite_number_is_no_json(value: Any) -> None:
    with pytest.raises(ValueError, match="infinite"):
        _as_json(value)


@pytest.mark.parametrize("value", [math.nan, Decimal("NaN"), None])
def test_what_is_no_number_is_null(value: Any) -> None:
    assert _as_json(value) is None
