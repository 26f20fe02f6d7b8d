"""The text below a field describes it."""

import ast
import inspect
from itertools import pairwise
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from hog_dagster import resources, settings
from hog_dagster._shared.described import Described
from hog_dagster.components import _fields, _records, _warehouses
from hog_dagster.policies import (
    _acting,
    _alerting,
    _checking,
    _messaging,
    _pushing,
    _queries,
    _reading,
)


class Base(Described, BaseModel):
    """A record.

    name: is no field here.
    """

    first: Annotated[int, Field(ge=1)] = Field(
        default=1,
        le=9,
    )
    """One line,
    and another."""
    second: str | None = None
    third: str = Field(default="", description="Said as an argument.")

    @property
    def other(self) -> str:
        """Not of the field above."""
        return self.third


class Below(Base):
    """Adds a field, and keeps those above."""

    required: list[str]
    """Must be given."""


def test_a_field_is_described_by_the_text_below_it_alone() -> None:
    said = {name: field.description for name, field in Below.model_fields.items()}
    assert said == {
        "first": "One line, and another.",
        "second": None,
        "third": "Said as an argument.",
        "required": "Must be given.",
    }
    assert Below.model_fields["required"].is_required()
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Below(first=0, required=[])
    with pytest.raises(ValueError, match="less than or equal to 9"):
        Below(first=10, required=[])


@pytest.mark.parametrize(
    "module",
    [
        *(_acting, _checking, _messaging, _pushing, _queries, _reading, _alerting),
        *(resources, settings, _fields, _records, _warehouses),
    ],
    ids=lambda module: module.__name__,
)
def test_every_text_below_a_field_is_found(module: object) -> None:
    source = inspect.getsource(module)  # type: ignore[arg-type]
    found = 0
    for one in ast.parse(source).body:
        if not isinstance(one, ast.ClassDef):
            continue
        kind = getattr(module, one.name)
        for field, below in pairwise(one.body):
            if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
                assert isinstance(field.target, ast.Name)
                assert isinstance(below.value, ast.Constant)
                said = kind.model_fields[field.target.id].description
                assert said == " ".join(str(below.value.value).split())
                found += 1
    assert found
