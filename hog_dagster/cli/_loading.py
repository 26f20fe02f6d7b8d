"""Loads definitions for a command: whatever is wrong with them is one sentence.

Facts: Dagster puts its own errors around ours; a component reads its state while its definitions
are built, from the project's folder or from the storage of DAGSTER_HOME.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
from yaml.error import MarkedYAMLError


class CannotLoad(ValueError):
    """Definitions cannot be loaded; a line for each thing that is wrong."""


@contextmanager
def loading(what: str, *, stored: bool = False) -> Iterator[list[str]]:
    """Yields what is warned of meanwhile; whatever cannot be loaded is one sentence, a CannotLoad.
    With `stored` the state is the one of DAGSTER_HOME."""
    from hog_dagster._dagster.internals import (
        DefinitionsLoadContext,
        DefinitionsLoadType,
        set_defs_state_storage,
    )

    with ExitStack() as stack:
        if stored and (instance := stack.enter_context(_instance())) is not None:
            stack.enter_context(set_defs_state_storage(instance.defs_state_storage))
        before = DefinitionsLoadContext.get()
        DefinitionsLoadContext.set(DefinitionsLoadContext(DefinitionsLoadType.INITIALIZATION))
        heard = stack.enter_context(_heard())
        try:
            yield heard
        except (click.ClickException, KeyboardInterrupt):
            raise
        except Exception as error:
            raise CannotLoad(_why(what, error)) from error
        finally:
            DefinitionsLoadContext.set(before)


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What our loggers say until the block ends; it is printed nowhere else."""
    said: list[str] = []

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(" ".join(record.getMessage().split()))

    logger, handler = logging.getLogger("hog_dagster"), Heard(logging.WARNING)
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


@contextmanager
def _instance() -> Iterator[Any]:
    home = Path(os.environ.get("DAGSTER_HOME", "").strip()).expanduser()
    if not os.environ.get("DAGSTER_HOME", "").strip() or not (home / "dagster.yaml").exists():
        yield None
        return
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        yield instance


def _why(what: str, error: BaseException) -> str:
    """The innermost reason, in one sentence; ours as they are."""
    from hog_dagster.cli._errors_text import one_paragraph

    chain = [error]
    while (behind := _behind(chain[-1])) is not None:
        chain.append(behind)
    for one in chain:
        if type(one).__module__.startswith("hog_dagster"):
            return "\n".join(" ".join(line.split()) for line in str(one).splitlines())
    for one in chain:
        if isinstance(one, MarkedYAMLError) and one.problem_mark is not None:
            mark = one.problem_mark
            file = os.path.relpath(mark.name) if os.path.isabs(mark.name) else mark.name  # noqa: PTH117
            return f"{file}:{mark.line + 1}: the YAML cannot be read: {one.problem}"
    expected = [text for one in chain if (text := one_paragraph(one))]
    if expected:
        return expected[-1]
    return f"{what} cannot be loaded: {type(chain[-1]).__name__}: {first_line(chain[-1])}"


def _behind(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
