"""The memory of every action that must not happen twice: claims, states, locks, history."""

from hog_dagster.ledger._changes import Observer as Observer
from hog_dagster.ledger._entries import LEDGER_FIELDS as LEDGER_FIELDS
from hog_dagster.ledger._entries import Action as Action
from hog_dagster.ledger._entries import Claim as Claim
from hog_dagster.ledger._entries import ClaimStatus as ClaimStatus
from hog_dagster.ledger._entries import Entry as Entry
from hog_dagster.ledger._entries import State as State
from hog_dagster.ledger._errors import ClaimLost as ClaimLost
from hog_dagster.ledger._errors import LedgerError as LedgerError
from hog_dagster.ledger._errors import LedgerUnavailable as LedgerUnavailable
from hog_dagster.ledger._errors import LockLost as LockLost
from hog_dagster.ledger._keys import normal_id as normal_id
from hog_dagster.ledger._ledger import Alive as Alive
from hog_dagster.ledger._ledger import Ledger as Ledger
from hog_dagster.ledger._locks import Lock as Lock
from hog_dagster.ledger._maintenance import RETENTION as RETENTION
from hog_dagster.ledger._pairing import check_pairing as check_pairing
from hog_dagster.ledger._pairing import pairing_of as pairing_of
from hog_dagster.ledger._tables import META as META
from hog_dagster.ledger._urls import default_url as default_url
from hog_dagster.ledger._urls import location_of as location_of
from hog_dagster.ledger._urls import read_url as read_url

__all__ = [
    "LEDGER_FIELDS",
    "META",
    "RETENTION",
    "Action",
    "Alive",
    "Claim",
    "ClaimLost",
    "ClaimStatus",
    "Entry",
    "Ledger",
    "LedgerError",
    "LedgerUnavailable",
    "Lock",
    "LockLost",
    "Observer",
    "State",
    "check_pairing",
    "default_url",
    "location_of",
    "normal_id",
    "pairing_of",
    "read_url",
]

#: Names in `__all__` that are for the other rooms; docs/reference does not list them.
INTERNAL = (
    "LEDGER_FIELDS",
    "META",
    "RETENTION",
    "Alive",
    "Observer",
    "check_pairing",
    "default_url",
    "location_of",
    "normal_id",
    "pairing_of",
    "read_url",
)
