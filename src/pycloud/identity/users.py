"""`UserStore`: who acts for an account."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import attrs
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from pycloud.errors import Duplicate, InUse, InvalidValue, NotFound
from pycloud.identity.accounts import ADMIN_USER, get_account
from pycloud.ids import ADMIN_ACCOUNT, AccountId, UserId, mint_key_id
from pycloud.state.database import Database
from pycloud.state.schema import access_keys, certificates, users
from pycloud.state.transaction import Transaction

_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_PATH = re.compile(r"/(?:[\x21-\x7e]{1,510}/)?")


@attrs.frozen
class User:
    """Somebody of an account ("IAM identifiers", IAM user guide)."""

    id: UserId
    account: AccountId
    name: str
    path: str
    created_at: datetime

    @property
    def arn(self) -> str:
        """The user's Amazon Resource Name."""
        return f"arn:aws:iam::{self.account}:user{self.path}{self.name}"


class UserStore:
    """Users by account and name. Each account has the user `admin`.

    >>> import pycloud
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     print(pycloud.UserStore(state).create("alice", path="/research/").arn)
    arn:aws:iam::000000000001:user/research/alice
    """

    def __init__(self, state: Database) -> None:
        self.state = state

    def create(self, name: str, *, path: str = "/", account: AccountId = ADMIN_ACCOUNT) -> User:
        """Make a user. Raises `InvalidValue`, `NotFound`, `Duplicate`."""
        if not _NAME.fullmatch(name):
            raise InvalidValue(f"{name!r} cannot name a user: 1 to 64 letters, digits and _+=,.@-")
        if not _PATH.fullmatch(path):
            raise InvalidValue(f"a user's path begins and ends with a slash, unlike {path!r}")
        try:
            with self.state.transaction() as tx:
                get_account(tx, account)
                user = User(UserId(mint_key_id("AIDA", 17)), account, name, path, tx.now)
                tx.execute(users.insert().values(attrs.asdict(user)))
                tx.record("user.created", user.id, f"{account} {name}")
        except IntegrityError:
            raise Duplicate(f"there is a user {name!r} already") from None
        return user

    def list(self, *, path_prefix: str = "/", account: AccountId = ADMIN_ACCOUNT) -> list[User]:
        """Return the account's users by name, `admin` among them."""
        self.get(ADMIN_USER, account=account)
        query = select(users).where(users.c.account == account).order_by(users.c.name)
        with self.state.reading() as tx:
            found = [_user(row) for row in tx.execute(query)]
        return [user for user in found if user.path.startswith(path_prefix)]

    def get(self, name: str, *, account: AccountId = ADMIN_ACCOUNT) -> User:
        """Return the user. Raises `NotFound`."""
        with self.state.reading() as tx:
            found = _find(tx, name, account)
        if found is not None:
            return found
        if name != ADMIN_USER:
            raise NotFound("user", name)
        return self._ensure_admin(account)

    def delete(self, name: str, *, account: AccountId = ADMIN_ACCOUNT) -> None:
        """Delete a user. Raises `NotFound`, `InvalidValue` for `admin`, and `InUse` while keys or
        certificates are left.
        """
        if name == ADMIN_USER:
            raise InvalidValue(f"the user {ADMIN_USER} belongs to the account and stays")
        with self.state.transaction() as tx:
            user = _find(tx, name, account)
            if user is None:
                raise NotFound("user", name)
            for table in (access_keys, certificates):
                mine = select(table.c.id).where(table.c.user_id == user.id).limit(1)
                if tx.execute(mine).first() is not None:
                    what = table.name.replace("_", " ")
                    raise InUse(f"user {name!r} still has {what}: delete them first")
            tx.execute(delete(users).where(users.c.id == user.id))
            tx.record("user.deleted", user.id, f"{account} {name}")

    def _ensure_admin(self, account: AccountId) -> User:
        """Return the account's user `admin`, which may be made. Raises `NotFound`."""
        with self.state.transaction() as tx:
            get_account(tx, account)
            user = User(UserId(mint_key_id("AIDA", 17)), account, ADMIN_USER, "/", tx.now)
            tx.add_if_absent(users, **attrs.asdict(user))
            there = _find(tx, ADMIN_USER, account)
            assert there is not None
            if there.id == user.id:
                tx.record("user.created", user.id, f"{account} {ADMIN_USER}")
        return there


def lock_user(tx: Transaction, user: User) -> None:
    """Lock the user's row, so that one at a time counts what the user has, and adds. Raises
    `NotFound`.
    """
    if tx.execute(tx.locked(select(users.c.id).where(users.c.id == user.id))).first() is None:
        raise NotFound("user", user.name)


def _find(tx: Transaction, name: str, account: AccountId) -> User | None:
    query = select(users).where(users.c.account == account, users.c.name == name)
    row = tx.execute(tx.locked(query)).one_or_none()
    return None if row is None else _user(row)


def _user(row: Any) -> User:
    return User(**row._mapping)
