"""`KeyPairStore`: the public keys with which people log in to their guests."""

from __future__ import annotations

import attrs
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from pycloud.compute import keymaterial
from pycloud.compute.keymaterial import GeneratedKey, ImportedKey, KeyKind
from pycloud.compute.records import CreatedKeyPair, KeyPair
from pycloud.errors import Duplicate, NotFound
from pycloud.identity.accounts import get_account
from pycloud.ids import ADMIN_ACCOUNT, AccountId, KeyPairId, mint
from pycloud.names import checked_name
from pycloud.state.database import Database
from pycloud.state.schema import key_pairs
from pycloud.state.transaction import Transaction


class KeyPairStore:
    """Key pairs by account and name. A private key is returned once, when it is made, and kept
    nowhere.

    >>> import pycloud
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     created = pycloud.KeyPairStore(state).create("eucatest")
    ...     print(created.key_pair.kind, created.private_key.splitlines()[0])
    ed25519 -----BEGIN OPENSSH PRIVATE KEY-----
    """

    def __init__(self, state: Database) -> None:
        self.state = state

    def create(
        self, name: str, *, kind: KeyKind = "ed25519", account: AccountId = ADMIN_ACCOUNT
    ) -> CreatedKeyPair:
        """Make a key pair (`ed25519` or `rsa`). Raises `InvalidValue`, `Duplicate`."""
        checked_name("key pair", name)
        made = keymaterial.generate(kind)
        return CreatedKeyPair(self._add(account, name, made), made.private_key)

    def import_(
        self, name: str, public_key: bytes | str, *, account: AccountId = ADMIN_ACCOUNT
    ) -> KeyPair:
        """Take a public key in OpenSSH, PEM or RFC 4716 form. Raises `InvalidValue`,
        `Duplicate`.
        """
        checked_name("key pair", name)
        return self._add(account, name, keymaterial.read_public(public_key))

    def list(self, *, account: AccountId | None = ADMIN_ACCOUNT) -> list[KeyPair]:
        """Return the account's key pairs by name; with None, those of all accounts."""
        query = select(key_pairs).order_by(key_pairs.c.name, key_pairs.c.account)
        if account is not None:
            query = query.where(key_pairs.c.account == account)
        with self.state.reading() as tx:
            return [KeyPair(**row._mapping) for row in tx.execute(query)]

    def get(self, name: str, *, account: AccountId = ADMIN_ACCOUNT) -> KeyPair:
        """Return the key pair. Raises `NotFound`."""
        with self.state.reading() as tx:
            return self.find(tx, name, account=account)

    def find(self, tx: Transaction, name: str, *, account: AccountId) -> KeyPair:
        """Return the key pair, as part of `tx`. Raises `NotFound`."""
        query = select(key_pairs).where(key_pairs.c.account == account, key_pairs.c.name == name)
        row = tx.execute(query).one_or_none()
        if row is None:
            raise NotFound("key pair", name)
        return KeyPair(**row._mapping)

    def delete(self, name: str, *, account: AccountId = ADMIN_ACCOUNT) -> None:
        """Forget the key pair; guests that have it keep it. Nothing happens where there is none,
        as in AWS.
        """
        with self.state.transaction() as tx:
            tx.execute(
                delete(key_pairs).where(key_pairs.c.account == account, key_pairs.c.name == name)
            )

    def _add(self, account: AccountId, name: str, key: GeneratedKey | ImportedKey) -> KeyPair:
        try:
            with self.state.transaction() as tx:
                get_account(tx, account)
                record = KeyPair(
                    id=KeyPairId(mint("key")),
                    account=account,
                    name=name,
                    kind=key.kind,
                    fingerprint=key.fingerprint,
                    public_key=key.public_key,
                    created_at=tx.now,
                )
                tx.execute(key_pairs.insert().values(attrs.asdict(record)))
                tx.record("key-pair.created", record.id, name)
        except IntegrityError:
            raise Duplicate(f"there is a key pair {name!r} already") from None
        return record
