"""What a history is about, drawn from its seed: the server, the orders, the faults, the company.

Every history leaves most kinds of trouble out and has the rest often: what goes wrong together is
found sooner than when everything goes wrong a little.
"""

import random
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import timedelta

from tests.simulation.network import NetworkFaults
from tests.simulation.scheduler import Faults

__all__ = ["Plan", "draw_plan"]


@dataclass
class Plan:
    """The drawn parameters of a history."""

    seed: int
    generation: str
    kinds: tuple[str, ...]
    faults: Faults
    network: NetworkFaults
    server_skew: timedelta
    local_offset: timedelta
    launches: int
    #: Seconds between two launches, roughly.
    spacing: float
    #: Kinds of trouble that this history has.
    trouble: frozenset[str]
    lags: dict[str, float] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The plan in words."""
        return [
            f"seed {self.seed}: {self.generation} server, {', '.join(self.kinds)}",
            f"{self.launches} launches about {self.spacing:.0f} s apart",
            f"trouble: {', '.join(sorted(self.trouble)) or 'none'}",
            f"server clock {self.server_skew}, local clock {self.local_offset}, lags {self.lags}",
            f"{self.faults}",
            f"{self.network}",
        ]


#: Trouble a history can have, and how many of ten histories have it.
TROUBLE: dict[str, float] = {
    "kills": 5,
    "interrupts": 3,
    "suspensions": 3,
    "slow steps": 3,
    "ledger fails": 2,
    "faults before": 6,
    "faults after": 7,
    "late effects": 3,
    "slow network": 2,
    "unknown to dagster": 3,
    "wrongly alive": 1,
    "wrongly dead": 1,
    "ledger swapped": 1,
    "local steps": 2,
    "server steps": 1,
    "foreign": 5,
    "operator": 3,
    "dry runs": 3,
    "worker down": 1,
    "key refused": 1,
    "generation change": 2,
    "endpoints missing": 1,
    "long lags": 4,
    "months": 1,
    "merges": 3,
    "rows lost": 2,
    "lines lost": 2,
    "stuck": 2,
    "odd lists": 4,
    "worker fails": 4,
    "hogql": 0.6,
    "together": 5,
    "long-lived client": 6,
}
KINDS: dict[str, tuple[str, ...]] = {
    "docs": ("replay", "replay", "both", "batch_send", "schedule_create"),
    "mid2026": ("rerun", "rerun", "rerun_function", "batch_send", "schedule_create"),
    "current": ("rerun", "rerun", "rerun_function", "batch_send", "schedule_create"),
}


def draw_plan(
    seed: int,
    *,
    generations: tuple[str, ...] = tuple(KINDS),
    kinds: Mapping[str, tuple[str, ...]] = KINDS,
    trouble: Set[str] | None = None,
    never: Set[str] = frozenset(),
) -> Plan:
    """Draw the plan of a seed.

    Args:
        seed: all there is to know.
        generations: servers to draw from.
        kinds: of orders to draw from, by server.
        trouble: exactly this trouble, instead of some that is drawn.
        never: trouble that is left out.
    """
    dice = random.Random(f"plan {seed}")
    generation = dice.choice(generations)
    offered = kinds[generation]
    chosen = tuple(dice.choice(offered) for _ in range(dice.choice((1, 1, 1, 1, 2, 2))))
    drawn = {name for name, of_ten in TROUBLE.items() if dice.random() * 10 < of_ten}
    if "local steps" in drawn:
        drawn.discard("server steps")  # no clock is right then, and none can be known
    if "both" in chosen:
        drawn.add("generation change")
    trouble = (drawn if trouble is None else trouble) - never
    strength = dice.choice((0.5, 1.0, 1.0, 2.0))

    def chance(name: str, probability: float) -> float:
        return probability * strength if name in trouble else 0.0

    lag = 300.0 if "long lags" in trouble else 20.0
    return Plan(
        seed=seed,
        generation=generation,
        kinds=chosen,
        faults=Faults(
            kill=chance("kills", 0.006),
            interrupt=chance("interrupts", 0.008),
            slow=chance("slow steps", 0.1),
            suspend=chance("suspensions", 0.004),
            ledger=chance("ledger fails", 0.01),
        ),
        network=NetworkFaults(
            before=chance("faults before", 0.06),
            after=chance("faults after", 0.06),
            write_before=min(0.6, chance("faults before", 0.15)),
            write_after=min(0.7, chance("faults after", 0.3)),
            late=0.5 if "late effects" in trouble else 0.0,
            slow=chance("slow network", 0.2),
        ),
        server_skew=timedelta(
            seconds=dice.choice((0.0, 0.4, -3.0, 60.0, -400.0, 7200.0, -20000.0))
        ),
        local_offset=timedelta(seconds=dice.choice((0.0, 0.0, 2.0, -90.0, 3600.0))),
        launches=dice.randint(2, 5),
        spacing=dice.choice((1.0, 20.0, 120.0, 600.0, 1200.0, 4000.0)),
        trouble=frozenset(trouble),
        lags={name: round(dice.uniform(0.0, lag), 1) for name in ("marker", "log", "rerun", "row")},
    )
