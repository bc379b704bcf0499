"""The rows of buckets and of their settings, documents of which the store understands three."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from sqlalchemy import bindparam, delete, func, select, update

from pycloud import limits
from pycloud.errors import Duplicate, InUse, InvalidValue, LimitExceeded, NotFound, WrongState
from pycloud.identity.accounts import get_account
from pycloud.ids import ADMIN_ACCOUNT, AccountId
from pycloud.state.schema import bucket_settings, buckets, objects, uploads
from pycloud.state.transaction import Transaction
from pycloud.storage.encryption import DefaultEncryption
from pycloud.storage.lifecycle import LifecycleRules
from pycloud.storage.locks import DefaultRetention
from pycloud.storage.names import RESERVED_BUCKETS, checked_bucket, encoded_text
from pycloud.storage.parts import free_parts
from pycloud.storage.records import Bucket, Versioning
from pycloud.storage.versions import bucket_of, get_bucket

ENCRYPTION, LIFECYCLE, OBJECT_LOCK = "encryption", "lifecycle", "object-lock"

_CHECKS: dict[str, Callable[[str], object]] = {
    ENCRYPTION: DefaultEncryption.from_json,
    LIFECYCLE: LifecycleRules.from_json,
    OBJECT_LOCK: DefaultRetention.from_json,
}
_KIND_CHARS = 32
_OF = (bucket_settings.c.bucket == bindparam("b_bucket")) & (
    bucket_settings.c.kind == bindparam("b_kind")
)
_SETTING = select(bucket_settings.c.document).where(_OF)
_WHOLE = (
    select(buckets, bucket_settings.c.kind, bucket_settings.c.document)
    .select_from(buckets.outerjoin(bucket_settings, bucket_settings.c.bucket == buckets.c.name))
    .where(buckets.c.name == bindparam("b_bucket"))
)
_FORGET = delete(bucket_settings).where(_OF)


def add_bucket(tx: Transaction, bucket: str, account: AccountId, *, object_lock: bool) -> Bucket:
    """Insert a bucket's row. Raises `InvalidValue`, `Duplicate`, `LimitExceeded`, `NotFound` of the
    account.
    """
    get_account(tx, account)
    if bucket in RESERVED_BUCKETS and account != ADMIN_ACCOUNT:
        raise Duplicate(f"the name {bucket!r} is kept for a bucket of the cloud's own")
    count = select(func.count()).select_from(buckets).where(buckets.c.account == account)
    if tx.execute(count).scalar_one() >= limits.BUCKETS_PER_ACCOUNT:
        raise LimitExceeded(f"account {account} has {limits.BUCKETS_PER_ACCOUNT} buckets already")
    versioning = Versioning.ENABLED if object_lock else Versioning.OFF
    made = Bucket(checked_bucket(bucket), account, tx.now, versioning, object_lock)
    row = {
        "name": made.name,
        "account": account,
        "created_at": made.created_at,
        "versioning": versioning.value,
        "object_lock": object_lock,
    }
    tx.execute(buckets.insert(), row)
    return made


def remove_bucket(tx: Transaction, bucket: str) -> None:
    """Delete an empty bucket's row, with its settings and uploads. Raises `NotFound`, `InUse`."""
    found = locked_bucket(tx, bucket)
    if tx.execute(select(objects.c.key).where(objects.c.bucket == bucket).limit(1)).first():
        raise InUse(
            f"bucket {bucket!r} is not empty: delete its objects first, with all their versions"
        )
    of_bucket = uploads.c.bucket == bucket
    for upload in tx.execute(tx.locked(select(uploads.c.id).where(of_bucket))).scalars().all():
        free_parts(tx, upload)
    tx.execute(delete(uploads).where(of_bucket))
    tx.execute(delete(bucket_settings).where(bucket_settings.c.bucket == bucket))
    tx.execute(delete(buckets).where(buckets.c.name == found.name))


def locked_bucket(tx: Transaction, bucket: str) -> Bucket:
    """Return a bucket that nobody else changes, or writes to, until the commit. Raises `NotFound`."""
    row = tx.execute(tx.locked(select(buckets).where(buckets.c.name == bucket))).one_or_none()
    return get_bucket(tx, bucket) if row is None else bucket_of(row)


def change_versioning(tx: Transaction, bucket: str, versioning: Versioning) -> None:
    """Say what becomes of former versions. Raises `NotFound`, `InvalidValue`, `WrongState`."""
    found = locked_bucket(tx, bucket)
    if versioning is Versioning.OFF:
        raise InvalidValue("versioning is enabled or suspended; it is never off again")
    if found.object_lock and versioning is not Versioning.ENABLED:
        raise WrongState(f"bucket {bucket!r} has object locks, so it keeps its versions")
    changed = update(buckets).where(buckets.c.name == bucket)
    tx.execute(changed.values(versioning=versioning.value))


def allow_locks(tx: Transaction, bucket: str) -> None:
    """Let versions be locked. Raises `NotFound`, `WrongState`."""
    if locked_bucket(tx, bucket).versioning is not Versioning.ENABLED:
        raise WrongState(f"bucket {bucket!r} does not keep versions: enable its versioning first")
    tx.execute(update(buckets).where(buckets.c.name == bucket).values(object_lock=True))


def whole_bucket(tx: Transaction, bucket: str) -> Bucket:
    """Return a bucket with its settings. Raises `NotFound`."""
    rows = tx.execute(_WHOLE, {"b_bucket": bucket}).all()
    if not rows:
        raise NotFound("bucket", bucket)
    documents = {row.kind: row.document for row in rows if row.kind is not None}
    return attrs.evolve(bucket_of(rows[0]), settings=documents)


def find_setting(tx: Transaction, bucket: str, kind: str) -> str | None:
    """Return a document of a bucket's."""
    found: str | None = tx.execute(
        _SETTING, {"b_bucket": bucket, "b_kind": kind}
    ).scalar_one_or_none()
    return found


def change_setting(tx: Transaction, bucket: str, kind: str, document: str | None) -> None:
    """Keep a document, or forget it. Raises `NotFound`, `InvalidValue`, `WrongState`."""
    found = locked_bucket(tx, bucket)
    if not 1 <= len(kind) <= _KIND_CHARS:
        raise InvalidValue(f"the kind of a setting has 1 to {_KIND_CHARS} characters, not {kind!r}")
    if kind == OBJECT_LOCK and not found.object_lock:
        raise WrongState(f"bucket {bucket!r} was not made for object locks")
    tx.execute(_FORGET, {"b_bucket": bucket, "b_kind": kind})
    if document is None:
        return
    if len(encoded_text(document, "the document")) > limits.SETTING_BYTES:
        raise InvalidValue(f"a setting has at most {limits.SETTING_BYTES} bytes")
    if kind in _CHECKS:
        _CHECKS[kind](document)
    tx.execute(bucket_settings.insert(), {"bucket": bucket, "kind": kind, "document": document})
