"""What is used of Dagster and not public stands in one module, and is there."""

import re
from pathlib import Path

import dagster as dg

from hog_dagster._dagster import internals

PACKAGE = Path(internals.__file__).parents[1]


def test_private_modules_of_dagster_are_named_in_one_module() -> None:
    private = re.compile(r"\bdagster(_\w+)?\\?\._[a-z]")
    named = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if private.search(path.read_text("utf-8").replace("hog_dagster._", ""))
    }
    assert named == {"_dagster/internals.py"}


def test_each_of_them_is_there_and_has_its_reason() -> None:
    for name in internals.__all__:
        assert getattr(internals, name)
        assert f"`{name}`" in (internals.__doc__ or "")
        assert not hasattr(dg, name), f"{name} is public now: import it from dagster"
    context = internals.DefinitionsLoadContext.get()
    assert context.load_type in internals.DefinitionsLoadType
    assert dg.SensorDefinition.__module__ == internals.SENSOR_MODULE
