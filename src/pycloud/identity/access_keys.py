"""`AccessKeyStore`: the keys with which users sign, their secrets sealed."""

from __future__ import annotations

import secrets
import string
from datetime import datetime
from typing import Any

import attrs
from sqlalchemy import bindparam, delete, func, select, update

from pycloud import limits
from pycloud.errors import LimitExceeded, NotFound
from pycloud.identity.sealing import Seal
from pycloud.identity.users import User, lock_user
from pycloud.ids import AccessKeyId, UserId, mint_key_id
from pycloud.state.database import Database
from pycloud.state.schema import access_keys, users

_SECRET_CHARS = 40
_ALPHABET = string.ascii_letters + string.digits + "+/"
_FIND = (
    select(access_keys.c.sealed, users)
    .join_from(access_keys, users)
    .where(access_keys.c.id == bindparam("key"), access_keys.c.is_active)
)


@attrs.frozen
class AccessKey:
    """A key of a user, without its secret."""

    id: AccessKeyId
    user_id: UserId
    is_active: bool
    created_at: datetime


@attrs.frozen
class FoundKey:
    """What a key that is in use stands for."""

    secret: str = attrs.field(repr=False)
    user: User


class AccessKeyStore:
    """Access keys, at most two a user ("Managing access keys for IAM users").

    >>> import pycloud
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     keys = pycloud.AccessKeyStore(state, pycloud.Seal(bytes(32)))
    ...     key, secret = keys.create(pycloud.UserStore(state).get("admin"))
    ...     keys.find(key.id).secret == secret
    True
    """

    def __init__(self, state: Database, seal: Seal) -> None:
        self.state = state
        self._seal = seal

    def create(self, user: User) -> tuple[AccessKey, str]:
        """Make a key; return it with its secret. Raises `NotFound`, `LimitExceeded`."""
        secret = new_secret()
        with self.state.transaction() as tx:
            lock_user(tx, user)
            mine = select(func.count()).where(access_keys.c.user_id == user.id)
            if tx.execute(mine).scalar_one() >= limits.ACCESS_KEYS:
                raise LimitExceeded(
                    f"user {user.name!r} has {limits.ACCESS_KEYS} access keys already: delete one first"
                )
            key = AccessKey(AccessKeyId(mint_key_id("AKIA", 16)), user.id, True, tx.now)
            sealed = self._seal.close(secret.encode(), f"access key {key.id}")
            tx.execute(access_keys.insert().values(**attrs.asdict(key), sealed=sealed))
            tx.record("access-key.created", key.id, user.name)
        return key, secret

    def list(self, user: User) -> list[AccessKey]:
        """Return the user's keys, the oldest first."""
        query = select(access_keys).where(access_keys.c.user_id == user.id)
        with self.state.reading() as tx:
            rows = tx.execute(query.order_by(access_keys.c.created_at, access_keys.c.id))
            return [_key(row) for row in rows]

    def secret(self, key: AccessKeyId) -> str:
        """Return the key's secret. Raises `NotFound`, and `StateError` if it can't be unsealed."""
        query = select(access_keys.c.sealed).where(access_keys.c.id == key)
        with self.state.reading() as tx:
            sealed = tx.execute(query).scalar_one_or_none()
        if sealed is None:
            raise NotFound("access key", key)
        return self._open(sealed, key)

    def set_active(self, user: User, key: AccessKeyId, *, is_active: bool) -> None:
        """Switch a key of the user on or off. Raises `NotFound`."""
        with self.state.transaction() as tx:
            changed = tx.execute(
                update(access_keys)
                .where(access_keys.c.id == key, access_keys.c.user_id == user.id)
                .values(is_active=is_active)
            )
            if changed.rowcount == 0:
                raise NotFound("access key", key)
            tx.record("access-key.switched", key, "on" if is_active else "off")

    def delete(self, user: User, key: AccessKeyId) -> None:
        """Delete a key of the user. Raises `NotFound`."""
        with self.state.transaction() as tx:
            mine = (access_keys.c.id == key) & (access_keys.c.user_id == user.id)
            if tx.execute(delete(access_keys).where(mine)).rowcount == 0:
                raise NotFound("access key", key)
            tx.record("access-key.deleted", key, user.name)

    def find(self, key: str) -> FoundKey | None:
        """Return what an active key stands for; None if there is no such key. Raises
        `StateError` if it can't be unsealed.
        """
        if not (key.isascii() and key.isalnum()):
            return None  # nor would every database take it
        with self.state.reading() as tx:
            row = tx.execute(_FIND, {"key": key}).one_or_none()
        if row is None:
            return None
        values = dict(row._mapping)
        return FoundKey(self._open(values.pop("sealed"), AccessKeyId(key)), User(**values))

    def _open(self, sealed: bytes, key: AccessKeyId) -> str:
        return self._seal.open(sealed, f"access key {key}").decode()


def new_secret() -> str:
    """Return a new secret: 40 characters, 240 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_CHARS))


def _key(row: Any) -> AccessKey:
    values = dict(row._mapping)
    del values["sealed"]
    return AccessKey(**values)
