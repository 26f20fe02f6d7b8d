"""Run config made of a policy record: what Dagster's launchpad shows, and how it is read.

Facts: Dagster makes a config schema of a `dg.Config`'s fields and checks types by it before a run
begins; bounds are checked by pydantic inside the op. A list of texts may be given as one text.
"""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import dagster as dg
from pydantic import ValidationError

from hog_dagster._dagster.failures import final

_C = TypeVar("_C", bound=dg.Config)


def config_fields(config: type[dg.Config], texts: Collection[str]) -> dict[str, dg.Field]:
    """The schema of a config class, in which the fields `texts` also take one text for a list."""
    fields = dict(config.to_fields_dict())
    for name in texts:
        either = dg.ScalarUnion(scalar_type=str, non_scalar_schema=[str])
        fields[name] = dg.Field(
            either, default_value=[], is_required=False, description=fields[name].description
        )
    return fields


def read_config(config: type[_C], given: Mapping[str, Any]) -> _C:
    """The run's config.

    Raises:
        dagster.Failure: a value is out of bounds; says which, one sentence each.
    """
    try:
        return config(**given)
    except ValidationError as error:
        said = [
            f"{'.'.join(str(part) for part in one['loc'])} is {one['input']!r}: {one['msg']}."
            for one in error.errors()
        ]
        raise final(" ".join(said)) from None
