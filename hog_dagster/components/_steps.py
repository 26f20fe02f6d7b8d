"""Changes finished asset steps: their specs, who runs them, how their op is called and tagged.

Facts: Dagster's `map_asset_specs` changes specs, but neither an op nor what it does; a step made
anew from its own function keeps its parameters, because `functools.wraps` keeps the signature that
Dagster reads resources from. The one module that looks into an `AssetsDefinition`.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

__all__ = ["Customization", "Execute", "Step", "changed"]

#: Does the work of one step and yields what came of it.
Step = Callable[[], Iterator[Any]]
#: Stands between Dagster and a step: yields what `step()` yields, before and after it what it will.
Execute = Callable[[dg.AssetExecutionContext, Step], Iterable[Any]]


@dataclass(frozen=True)
class Customization:
    """What to change about steps; nothing by default.

    Args:
        spec: gives each asset's spec as it shall be, its key unchanged.
        execute: runs each step.
        op_name: what stands before the ops' names.
        op_tags: more tags for the ops.
        pool: the pool of the ops.
        backfill_policy: of partitioned steps.
    """

    spec: Callable[[dg.AssetSpec], dg.AssetSpec] | None = None
    execute: Execute | None = None
    op_name: str | None = None
    op_tags: Mapping[str, Any] = field(default_factory=dict)
    pool: str | None = None
    backfill_policy: dg.BackfillPolicy | None = None

    @property
    def remakes_ops(self) -> bool:
        """Whether anything but specs changes."""
        return bool(
            self.execute or self.op_name or self.op_tags or self.pool or self.backfill_policy
        )


def changed(step: dg.AssetsDefinition, how: Customization) -> dg.AssetsDefinition:
    """The step as `how` says.

    Args:
        step: made by `@dg.multi_asset` or `@dg.asset`, with a spec for each asset.
        how: what to change.

    Returns:
        A new definition; the given one is not changed.
    """
    specs = [how.spec(spec) if how.spec else spec for spec in step.specs]
    if not how.remakes_ops:
        by_key = {spec.key: spec for spec in specs}
        return step.map_asset_specs(lambda spec: by_key[spec.key])
    op = step.op
    partitioned = any(spec.partitions_def is not None for spec in specs)
    policy = how.backfill_policy if partitioned and how.backfill_policy else step.backfill_policy
    function = op.compute_fn.decorated_fn  # type: ignore[union-attr]
    return dg.multi_asset(
        name=f"{how.op_name}_{op.name}" if how.op_name else op.name,
        specs=specs,
        check_specs=list(step.check_specs),
        can_subset=step.can_subset,
        op_tags={**op.tags, **how.op_tags},
        pool=how.pool or op.pool,
        retry_policy=op.retry_policy,
        backfill_policy=policy,
        description=op.description,
    )(_run_by(how.execute, function) if how.execute else function)


def _run_by(execute: Execute, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(context: dg.AssetExecutionContext, **resources: Any) -> Iterator[Any]:
        def step() -> Iterator[Any]:
            result = function(context, **resources)
            if inspect.isgenerator(result):
                yield from result
            elif result is not None:
                yield result

        yield from execute(context, step)

    return run
