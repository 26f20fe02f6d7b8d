"""The memory of every action that must not happen twice: claims, states, locks, history."""

from hog_dagster.ledger._ledger import Alive as Alive
from hog_dagster.ledger._ledger import Ledger as Ledger
from hog_dagster.ledger._ledger import default_url as default_url
from hog_dagster.ledger._locks import Lock as Lock
from hog_dagster.ledger._locks import LockLost as LockLost
from hog_dagster.ledger.entries import LEDGER_FIELDS as LEDGER_FIELDS
from hog_dagster.ledger.entries import Act as Act
from hog_dagster.ledger.entries import Claim as Claim
from hog_dagster.ledger.entries import ClaimLost as ClaimLost
from hog_dagster.ledger.entries import Entry as Entry
from hog_dagster.ledger.entries import LedgerError as LedgerError
from hog_dagster.ledger.entries import LedgerUnavailable as LedgerUnavailable
from hog_dagster.ledger.entries import State as State
from hog_dagster.ledger.entries import Verdict as Verdict

__all__ = [
    "LEDGER_FIELDS",
    "Act",
    "Alive",
    "Claim",
    "ClaimLost",
    "Entry",
    "Ledger",
    "LedgerError",
    "LedgerUnavailable",
    "Lock",
    "LockLost",
    "State",
    "Verdict",
    "default_url",
]
