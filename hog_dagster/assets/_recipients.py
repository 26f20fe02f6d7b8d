"""What becomes of people's addresses: hashed, kept, or dropped.

The hash is salted with the project, so that addresses join among the tables of one project and not
with those of another one. It is a pseudonym: whoever knows an address can compute it.
"""

import hashlib
from typing import Any

from hog_dagster.policies import RecipientPolicy


class Recipients:
    """Addresses of one project under a policy."""

    def __init__(self, policy: RecipientPolicy, project_id: int) -> None:
        self.policy: RecipientPolicy = policy
        self._salt = f"hog_dagster recipient of project {project_id}\n".encode()

    @property
    def kept(self) -> bool:
        """Whether addresses are loaded as they are."""
        return self.policy == "keep"

    def columns(self, address: str | None) -> dict[str, str | None]:
        """The columns of an address."""
        known = bool(address) and self.policy != "drop"
        return {
            "recipient_hash": self.hashed(address or "") if known else None,
            "recipient": address if self.kept else None,
        }

    def if_kept(self, value: Any) -> Any:
        """A value that tells of a person, where those are kept."""
        return value if self.kept else None

    def hashed(self, address: str) -> str:
        """The hash of an address; upper and lower case are alike."""
        return hashlib.sha256(self._salt + address.strip().lower().encode()).hexdigest()
