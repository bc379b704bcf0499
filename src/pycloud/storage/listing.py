"""Pages of objects, versions and uploads, as S3 lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import true

from pycloud import limits
from pycloud.errors import InvalidValue
from pycloud.ids import AccountId
from pycloud.state.schema import objects, uploads
from pycloud.state.transaction import Transaction
from pycloud.storage.checksums import checksum_of
from pycloud.storage.names import encoded_text
from pycloud.storage.records import (
    Listing,
    StoredObject,
    Upload,
    UploadListing,
    VersionListing,
)
from pycloud.storage.versions import NULL, find_version, get_bucket, rank_of
from pycloud.storage.walks import Catalog, Page

_LISTED = [
    objects.c.key,
    objects.c.rank,
    objects.c.size_bytes,
    objects.c.etag,
    objects.c.created_at,
    objects.c.account,
    objects.c.version_id,
    objects.c.is_latest,
    objects.c.is_delete_marker,
    objects.c.storage_class,
    objects.c.checksum,
    objects.c.part_count,
    objects.c.encryption,
]
_SHOWN = Catalog(_LISTED, objects.c.rank, objects.c.is_shown == true())
_VERSIONS = Catalog(_LISTED, objects.c.rank, true())
_UPLOADS = Catalog(list(uploads.c), uploads.c.id, true())


def list_objects(tx: Transaction, page: Page) -> Listing:
    """Return a page of objects. Raises `NotFound` of the bucket, `InvalidValue`."""
    entries = _entries(tx, _SHOWN, page)
    found = entries[: page.most]
    last = found[-1] if len(entries) > page.most and found else None
    return Listing(
        tuple(_object(page.bucket, one) for one in found if not isinstance(one, str)),
        tuple(one for one in found if isinstance(one, str)),
        None if last is None else _name(last),
    )


def list_versions(tx: Transaction, page: Page, version_marker: str | None) -> VersionListing:
    """Return a page of versions and delete markers. Raises `NotFound` of the bucket, `InvalidValue`."""
    if version_marker is not None:
        page = _after_version(tx, page, version_marker)
    entries = _entries(tx, _VERSIONS, page)
    found = entries[: page.most]
    last = found[-1] if len(entries) > page.most and found else None
    return VersionListing(
        tuple(_object(page.bucket, one) for one in found if not isinstance(one, str)),
        tuple(one for one in found if isinstance(one, str)),
        None if last is None else _name(last),
        None if last is None or isinstance(last, str) else last.version_id,
    )


def list_uploads(tx: Transaction, page: Page) -> UploadListing:
    """Return a page of uploads. Raises `NotFound` of the bucket, `InvalidValue`."""
    entries = _entries(tx, _UPLOADS, page)
    found = entries[: page.most]
    last = found[-1] if len(entries) > page.most and found else None
    return UploadListing(
        tuple(upload_of(one) for one in found if not isinstance(one, str)),
        tuple(one for one in found if isinstance(one, str)),
        None if last is None else _name(last),
        None if last is None or isinstance(last, str) else last.id,
    )


def pages(read: Callable[[str], Listing]) -> Iterator[StoredObject]:
    """Give the objects of all pages; `read` reads the one after a key."""
    after: str | None = ""
    while after is not None:
        listing = read(after)
        yield from listing.objects
        after = listing.next


def upload_of(row: Any) -> Upload:
    """Return the record of a row."""
    return Upload(
        id=row.id,
        bucket=row.bucket,
        key=row.key.decode(),
        account=AccountId(row.account),
        created_at=row.created_at,
        storage_class=row.storage_class,
        checksum_algorithm=row.checksum_algorithm,
        checksum_kind=row.checksum_kind,
        encryption=row.encryption,
    )


def _entries(tx: Transaction, catalog: Catalog, page: Page) -> list[Any]:
    """Return up to one more than the page's rows and common prefixes, in order."""
    get_bucket(tx, page.bucket)
    if not 0 <= page.most <= limits.LIST_KEYS:
        raise InvalidValue(f"a page has 0 to {limits.LIST_KEYS} entries, not {page.most}")
    if page.most == 0:
        return []
    if not page.delimiter:
        return list(tx.execute(catalog.plain, page.values()))
    rows = tx.execute(catalog.walking, page.values())
    return [
        row.walked[: row.shared].decode() if row.shared else row
        for row in rows
        if row.shared or row.key is not None
    ]


def _after_version(tx: Transaction, page: Page, version_marker: str) -> Page:
    rank = rank_of(version_marker)
    if version_marker == NULL:
        key = encoded_text(page.after, "the marker")
        found = find_version(tx, page.bucket, key, NULL)
        rank = None if found is None else found.rank
    if rank is None or not page.after:
        raise InvalidValue(f"{version_marker!r} is no version of {page.after!r} to go on after")
    return Page(page.bucket, page.prefix, page.delimiter, page.after, page.most, within=rank)


def _name(entry: Any) -> str:
    name: str = entry if isinstance(entry, str) else entry.key.decode()
    return name


def _object(bucket: str, row: Any) -> StoredObject:
    return StoredObject(
        bucket,
        row.key.decode(),
        row.size_bytes,
        row.etag,
        row.created_at,
        AccountId(row.account),
        row.version_id,
        row.is_latest,
        row.is_delete_marker,
        storage_class=row.storage_class,
        checksum=checksum_of(row.checksum),
        part_count=row.part_count,
        encryption=row.encryption,
    )
