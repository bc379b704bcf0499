"""How S3 names accounts: by a canonical id of 64 digits, the same everywhere."""

from __future__ import annotations

import hashlib
from functools import lru_cache


@lru_cache(maxsize=4096)
def canonical_id(account: str) -> str:
    """Return the canonical user id of an account ("Finding the canonical user ID").

    >>> canonical_id("000000000001")[:8]
    '8159411c'
    """
    return hashlib.sha256(f"pycloud account {account}".encode()).hexdigest()


def owner_of(account: str) -> dict[str, str]:
    """Return the `Owner` of answers."""
    return {"ID": canonical_id(account), "DisplayName": account}
