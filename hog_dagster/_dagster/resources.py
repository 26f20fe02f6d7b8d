"""Makes a Dagster definition of a function that takes resources, under the names of its project.

Facts: resources of one code location share one namespace, so those of a second project have a
prefix. Assets, ops, checks, sensors and schedules of Dagster take `required_resource_keys`, and
give what these name as attributes of `context.resources`.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import dagster as dg

#: What our assets, jobs, sensors, schedules and checks call the resources they take.
RESOURCE_NAMES = ("posthog", "warehouse", "ledger")

#: Does the work of one step and yields what came of it.
Step = Callable[[], Iterator[Any]]
#: Stands between Dagster and a step: yields what `step()` yields, before and after it what it will.
Execute = Callable[[dg.AssetExecutionContext, Step], Iterable[Any]]


def takes_resources(
    make: Callable[..., Callable[[Callable[..., Any]], Any]],
    prefix: str,
    *,
    execute: Execute | None = None,
    **arguments: Any,
) -> Callable[[Callable[..., Any]], Any]:
    """A decorator: the function becomes what `make` makes, and is given its resources by name.

    Args:
        make: `dg.multi_asset`, `dg.op`, `dg.sensor`, ...
        prefix: what stands before the names of resources; empty for the only project.
        execute: runs an asset's step, instead of Dagster.
        arguments: of `make`.

    Returns:
        The decorator. The function's parameters are the context, `config` if it takes one, and
        any of `posthog`, `warehouse` and `ledger`.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        parameters = inspect.signature(function).parameters
        names = [name for name in parameters if name in RESOURCE_NAMES]

        def call(context: Any, **config: Any) -> Any:
            taken = {name: getattr(context.resources, prefix + name) for name in names}
            return function(context, **config, **taken)

        def steps(context: Any, **config: Any) -> Iterator[Any]:
            def step() -> Iterator[Any]:
                result = call(context, **config)
                if inspect.isgenerator(result):
                    yield from result
                elif result is not None:
                    yield result

            yield from step() if execute is None else execute(context, step)

        generator = execute is not None or inspect.isgeneratorfunction(function)
        run = _of_dagsters_form(steps if generator else call, generator, "config" in parameters)
        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            setattr(run, name, getattr(function, name))
        hints = dict(function.__annotations__)
        run.__annotations__ = {
            name: hints[name]
            for name in (*list(parameters)[:1], "config", *(() if generator else ("return",)))
            if name in hints
        }
        keys = {prefix + name for name in names}
        return make(required_resource_keys=keys, **arguments)(run)

    return decorate


def _of_dagsters_form(
    inner: Callable[..., Any], generator: bool, with_config: bool
) -> Callable[..., Any]:
    """A function of the context, and of the config where there is one, as Dagster looks for."""
    if generator and with_config:

        def steps_with_config(context: Any, config: Any) -> Iterator[Any]:
            yield from inner(context, config=config)

        return steps_with_config
    if generator:

        def steps(context: Any) -> Iterator[Any]:
            yield from inner(context)

        return steps
    if with_config:

        def with_its_config(context: Any, config: Any) -> Any:
            return inner(context, config=config)

        return with_its_config

    def plain(context: Any) -> Any:
        return inner(context)

    return plain
