"""`Sessions`: temporary credentials. Nothing is stored: the session token is a sealed statement of
whose they are, and until when.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import attrs
from sqlalchemy import bindparam, select

from pycloud import limits
from pycloud.errors import InvalidValue, StateError
from pycloud.identity.access_keys import FoundKey, new_secret
from pycloud.identity.sealing import Seal
from pycloud.identity.users import User
from pycloud.ids import AccessKeyId, mint_key_id
from pycloud.state.database import Database
from pycloud.state.schema import users

_LABEL = "session"
_USER = select(users).where(users.c.id == bindparam("user"))


@attrs.frozen
class Session:
    """Temporary credentials of a user."""

    access_key_id: AccessKeyId
    secret: str = attrs.field(repr=False)
    token: str = attrs.field(repr=False)
    expires_at: datetime


class Sessions:
    """Temporary credentials ("GetSessionToken", STS API reference)."""

    def __init__(self, state: Database, seal: Seal) -> None:
        self.state = state
        self._seal = seal

    def create(self, user: User, *, duration_s: int = limits.SESSION_DEFAULT_S) -> Session:
        """Return credentials that are good for so long. Raises `InvalidValue`."""
        if not limits.SESSION_MIN_S <= duration_s <= limits.SESSION_MAX_S:
            raise InvalidValue(
                f"a session lasts {limits.SESSION_MIN_S} to {limits.SESSION_MAX_S} s, not {duration_s}"
            )
        # Whole seconds, in the token as in the answer.
        expires_at = self.state.clock.now().replace(microsecond=0) + timedelta(seconds=duration_s)
        key, secret = AccessKeyId(mint_key_id("ASIA", 16)), new_secret()
        statement = [key, secret, user.id, int(expires_at.timestamp())]
        sealed = self._seal.close(json.dumps(statement).encode(), _LABEL)
        return Session(key, secret, base64.b64encode(sealed).decode(), expires_at)

    def find(self, key: str, token: str) -> FoundKey | None:
        """Return what the key stands for with its token; None if they don't belong together, are
        too old, or the user is gone.
        """
        try:
            sealed = base64.b64decode(token, validate=True)
            found, secret, user_id, expires = json.loads(self._seal.open(sealed, _LABEL))
        except (ValueError, StateError):
            return None
        if found != key or datetime.fromtimestamp(expires, UTC) <= self.state.clock.now():
            return None
        with self.state.reading() as tx:
            row = tx.execute(_USER, {"user": user_id}).one_or_none()
        return None if row is None else FoundKey(secret, User(**row._mapping))
