"""Accounts. For now there is one, the administrator's, made by the first migration."""

from __future__ import annotations

from datetime import datetime

import attrs
from sqlalchemy import bindparam, select

from pycloud.errors import NotFound
from pycloud.ids import AccountId
from pycloud.state.schema import accounts
from pycloud.state.transaction import Transaction

_BY_ID = select(accounts).where(accounts.c.id == bindparam("account"))


@attrs.frozen
class Account:
    """Whom things belong to."""

    id: AccountId
    name: str
    created_at: datetime


def get_account(tx: Transaction, account: AccountId) -> Account:
    """Return the account. Raises `NotFound`."""
    row = tx.execute(_BY_ID, {"account": account}).one_or_none()
    if row is None:
        raise NotFound("account", account)
    return Account(**row._mapping)
