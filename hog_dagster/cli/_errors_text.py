"""The one paragraph a command prints for an error whose cause the user can remove."""

import dagster as dg

from hog_dagster._shared.extras import MissingExtra
from hog_dagster.ledger import LedgerError
from hog_dagster.posthog import errors as posthog_errors
from hog_dagster.warehouse import errors as warehouse_errors

_EXPECTED = (
    posthog_errors.PostHogError,
    warehouse_errors.WarehouseError,
    LedgerError,
    MissingExtra,
    ValueError,
    OSError,
)


def one_paragraph(error: BaseException) -> str | None:
    """The text for an expected error, or None for one that is a defect and deserves a traceback."""
    if isinstance(error, dg.Failure):
        return " ".join((error.description or "failed").split())
    if isinstance(error, _EXPECTED):
        return " ".join(str(error).split())
    return None
