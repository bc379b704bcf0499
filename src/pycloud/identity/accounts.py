"""`AccountStore`: whom things belong to. The administrator's account is made by the first
migration.
"""

from __future__ import annotations

import re
import secrets
from datetime import datetime

import attrs
from sqlalchemy import bindparam, delete, select
from sqlalchemy.exc import IntegrityError

from pycloud.errors import Duplicate, InUse, InvalidValue, NotFound
from pycloud.ids import ADMIN_ACCOUNT, AccountId
from pycloud.state.database import Database
from pycloud.state.schema import access_keys, accounts, certificates, metadata, users
from pycloud.state.transaction import Transaction

_BY_ID = select(accounts).where(accounts.c.id == bindparam("account"))
_NAME = re.compile(r"(?!\d{12}$)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", re.ASCII)
_PLURALS = {"reservations": "instances (terminated ones count as long as they are shown)"}
"""What people call the rows of a table, where that is not its name."""
ADMIN_USER = "admin"
"""The user that each account has from its beginning."""


@attrs.frozen
class Account:
    """Whom things belong to."""

    id: AccountId
    name: str
    created_at: datetime


class AccountStore:
    """Accounts by their number of 12 digits, and by name.

    >>> import pycloud
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     accounts = pycloud.AccountStore(state)
    ...     research = accounts.create("research")
    ...     print([account.name for account in accounts.list()], len(research.id))
    ['admin', 'research'] 12
    """

    def __init__(self, state: Database) -> None:
        self.state = state

    def create(self, name: str) -> Account:
        """Make an account; whoever makes it gives it its user `admin`. Raises `InvalidValue`,
        `Duplicate`.
        """
        if not _NAME.fullmatch(name):
            raise InvalidValue(
                f"{name!r} cannot name an account: 3 to 63 lower-case letters, digits and hyphens, "
                "beginning and ending with a letter or digit, and not like an account's number"
            )
        number = AccountId(f"{secrets.randbelow(9 * 10**11) + 10**11}")
        try:
            with self.state.transaction() as tx:
                account = Account(number, name, tx.now)
                tx.execute(accounts.insert().values(attrs.asdict(account)))
                tx.record("account.created", number, name)
        except IntegrityError:
            raise Duplicate(f"there is an account {name!r} already") from None
        return account

    def list(self) -> list[Account]:
        """Return all accounts, the oldest first."""
        query = select(accounts).order_by(accounts.c.created_at, accounts.c.id)
        with self.state.reading() as tx:
            return [Account(**row._mapping) for row in tx.execute(query)]

    def get(self, name: str) -> Account:
        """Return the account of that name or number. Raises `NotFound`."""
        query = select(accounts).where((accounts.c.name == name) | (accounts.c.id == name))
        with self.state.reading() as tx:
            row = tx.execute(query).first()
        if row is None:
            raise NotFound("account", name)
        return Account(**row._mapping)

    def delete(self, account: AccountId) -> None:
        """Delete an account that has nothing any more but its user `admin`. Raises `NotFound`,
        `InvalidValue` for the administrator's, and `InUse` naming what it still has.

        `CloudController.delete_account` takes away what came by itself too.
        """
        with self.state.transaction() as tx:
            found = self.claim(tx, account)
            for table in metadata.sorted_tables:
                if "account" in table.c and table is not users:
                    self._check_empty(tx, table.name, account)
            self._check_users(tx, account)
            tx.execute(delete(users).where(users.c.account == account))
            tx.execute(delete(accounts).where(accounts.c.id == account))
            tx.record("account.deleted", account, found.name)

    def claim(self, tx: Transaction, account: AccountId) -> Account:
        """Return an account that is to be deleted, as part of `tx`: until that ends nobody gives it
        anything. Raises `NotFound`, and `InvalidValue` for the administrator's.
        """
        if account == ADMIN_ACCOUNT:
            raise InvalidValue("the administrator's account can't be deleted")
        row = tx.execute(tx.locked(_BY_ID), {"account": account}).one_or_none()
        if row is None:
            raise NotFound("account", account)
        return Account(**row._mapping)

    def _check_users(self, tx: Transaction, account: AccountId) -> None:
        """Only `admin` may be left, with nothing to prove itself with."""
        # Whoever gives a user a key has that user's row.
        tx.execute(tx.locked(select(users.c.id).where(users.c.account == account))).all()
        others = select(users.c.name).where(users.c.account == account, users.c.name != ADMIN_USER)
        name = tx.execute(others.limit(1)).scalar_one_or_none()
        if name is not None:
            raise InUse(f"account {account} still has the user {name!r}: delete it first")
        for table in (access_keys, certificates):
            left = select(table.c.id).join_from(table, users).where(users.c.account == account)
            if tx.execute(left.limit(1)).first() is not None:
                what = table.name.replace("_", " ")
                raise InUse(f"account {account} still has {what}: delete them first")

    def _check_empty(self, tx: Transaction, table: str, account: AccountId) -> None:
        owned = metadata.tables[table]
        query = select(owned.c.account).where(owned.c.account == account)
        if tx.execute(query.limit(1)).first() is not None:
            what = _PLURALS.get(table, table.replace("_", " "))
            raise InUse(f"account {account} still has {what}: delete them first")


def get_account(tx: Transaction, account: AccountId, *, alone: bool = False) -> Account:
    """Return the account; it is not deleted before `tx` ends, if that writes. With `alone`, nobody
    else adds anything to it meanwhile: for who counts what it has. Raises `NotFound`.
    """
    row = tx.execute(tx.locked(_BY_ID, read=not alone), {"account": account}).one_or_none()
    if row is None:
        raise NotFound("account", account)
    return Account(**row._mapping)
