"""Lets a function take its resources under other names, for a second project in a code location.

Facts: Dagster finds a function's resources by the names of its parameters, as `inspect.signature`
gives them, and passes them by those names; resources of one code location share one namespace.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["RESOURCE_NAMES", "prefixed"]

#: What our assets, jobs, sensors, schedules and checks call the resources they take.
RESOURCE_NAMES = ("posthog", "warehouse", "ledger")

_F = TypeVar("_F", bound=Callable[..., Any])


def prefixed(prefix: str) -> Callable[[_F], _F]:
    """Have a function take `<prefix>posthog`, `<prefix>warehouse` and `<prefix>ledger`, whichever
    it takes.

    Args:
        prefix: what stands before the names; with "" the function stays as it is.

    Returns:
        A decorator, to stand below Dagster's own.
    """

    def decorate(function: _F) -> _F:
        if not prefix:
            return function
        signature = inspect.signature(function)
        names = {prefix + name: name for name in signature.parameters if name in RESOURCE_NAMES}

        def called(*args: Any, **given: Any) -> Any:
            return function(*args, **{names.get(name, name): one for name, one in given.items()})

        def yielding(*args: Any, **given: Any) -> Any:
            yield from called(*args, **given)

        # Dagster reads what a step returns off its annotation, unless it is a generator.
        generator = inspect.isgeneratorfunction(function)
        renamed = functools.wraps(function)(yielding if generator else called)
        ours = {name: prefixed_name for prefixed_name, name in names.items()}
        parameters = [
            parameter.replace(name=ours.get(name, name))
            for name, parameter in signature.parameters.items()
        ]
        renamed.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        renamed.__annotations__ = {
            ours.get(name, name): hint for name, hint in function.__annotations__.items()
        }
        return renamed  # type: ignore[return-value]

    return decorate
