"""Who calls: what an access key stands for, and where keys are looked up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs

from pycloud.ids import ADMIN_ACCOUNT, AccountId


@attrs.frozen
class Caller:
    """The user whose key signed a request."""

    account: AccountId
    user_id: str
    user_name: str
    path: str = "/"
    is_temporary: bool = False
    """Whether the key is a session's, and ends with it."""

    @property
    def arn(self) -> str:
        """The user's Amazon Resource Name ("IAM identifiers")."""
        return f"arn:aws:iam::{self.account}:user{self.path}{self.user_name}"

    @property
    def is_administrator(self) -> bool:
        """Whether this is the account that sees all with `verbose`."""
        return self.account == ADMIN_ACCOUNT


@attrs.frozen
class Credential:
    """The secret of an access key, and whose it is."""

    secret: str = attrs.field(repr=False)
    caller: Caller


class Keys(Protocol):
    """Knows access keys: `pycloud.Identity` does, or whatever a service has of its own."""

    def find(self, access_key_id: str, session_token: str | None) -> Credential | None:
        """Return what the key stands for, or None if it is unknown, switched off, or the session
        token is not its own.
        """


class FixedKeys:
    """Access keys from a dict, for those who keep theirs elsewhere.

    >>> from pycloud.aws.callers import FixedKeys
    >>> keys = FixedKeys({"AKIDEXAMPLE": "a secret"})
    >>> keys.find("AKIDEXAMPLE", None).caller.arn
    'arn:aws:iam::000000000001:user/AKIDEXAMPLE'
    """

    def __init__(self, secrets: Mapping[str, str], *, account: AccountId = ADMIN_ACCOUNT) -> None:
        self._credentials = {
            key: Credential(secret, Caller(account, key, key)) for key, secret in secrets.items()
        }

    def find(self, access_key_id: str, session_token: str | None) -> Credential | None:
        """Return what the key stands for, or None."""
        return None if session_token is not None else self._credentials.get(access_key_id)
