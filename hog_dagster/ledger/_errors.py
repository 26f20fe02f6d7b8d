"""The errors of the ledger."""


class LedgerError(Exception):
    """The ledger cannot do what was asked; the text says why and what to do."""


class LedgerUnavailable(LedgerError):
    """The ledger's database cannot be reached, read or written now; nothing is sent without it."""


class ClaimLost(LedgerError):
    """The action was changed by another process, or is in a state that does not allow this."""


class LockLost(LedgerError):
    """The lock's lease ran out and another run took it over: send nothing."""
