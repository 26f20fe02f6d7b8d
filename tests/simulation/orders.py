"""What a history is told to do, and what the engine reported: plain values that all parts share."""

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Order", "Report"]


@dataclass(frozen=True)
class Order:
    """Something that is to be done once for each of its items.

    Attributes:
        kind: replay, rerun, batch_send or schedule_create.
        target: workflow or hog function.
        runs: what the sensor, or an operator, names.
        key: of a batch send or a schedule.
        max_reruns, already_sent, slice_size: the policy.
    """

    name: str
    kind: str
    target: str
    target_type: str = "workflow"
    runs: tuple[str, ...] = ()
    key: str = ""
    variables: dict[str, Any] = field(default_factory=dict)
    max_reruns: int = 1
    already_sent: str = "skip"
    slice_size: int = 500
    starts_at: str = ""


@dataclass
class Report:
    """What the engine said: the outcome and the reason for each item."""

    items: dict[str, tuple[str, str]] = field(default_factory=dict)
    sentence: str = ""
