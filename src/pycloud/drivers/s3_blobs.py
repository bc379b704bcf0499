"""`S3Blobs`: blobs as objects of another S3 engine, through boto3 (extra `pycloud[s3]`)."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from pycloud.errors import Cannot, DiskFull, TryLater
from pycloud.ids import BlobId
from pycloud.storage.blobs import FoundBlob, OpenBlob, Readable, WrittenBlob

_PART_BYTES: Final = 16 * 1024 * 1024
"""10 000 of them are 156 GiB, and one blob is at most 5 GiB; so much is in memory for each writer."""
_BLOBS, _QUARANTINE = "blobs/", "quarantine/"
_NO_SPACE = ("QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "EntityTooLarge")
_NOT_THERE = ("NoSuchKey", "404", "NoSuchUpload", "NotFound")


class S3Blobs:
    """Blobs as objects in `bucket`, under `prefix`, of the S3 engine at `endpoint`: Ceph's gateway,
    Garage, SeaweedFS, AWS, or another pycloud.

    `access_key` and `secret_key` are that engine's; without them boto3 looks for some as it always
    does. The bucket must be there, and keep no versions.
    """

    holds_open = False

    def __init__(
        self,
        endpoint: str | None,
        bucket: str,
        *,
        prefix: str = "",
        access_key: str | None = None,
        secret_key: str | None = None,
        region: str = "us-east-1",
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self._options = {
            "endpoint_url": endpoint,
            "aws_access_key_id": access_key,
            "aws_secret_access_key": secret_key,
            "region_name": region,
        }
        self._made: Any = None
        self._making = threading.Lock()

    def write(self, stream: Readable) -> WrittenBlob:
        """Read `stream` to its end, keep its bytes, and say what was written. The engine is believed
        that they are durable when it answers, and checks that they are whole (CRC-32).
        """
        blob = BlobId(secrets.token_hex(16))
        key = self._key(blob)
        first = _filled(stream)
        if len(first) < _PART_BYTES:
            self._call("put_object", Key=key, Body=first)
            return WrittenBlob(blob, len(first))
        upload = self._call("create_multipart_upload", Key=key)["UploadId"]
        try:
            size, parts = self._write_parts(stream, key, upload, first)
            self._call(
                "complete_multipart_upload",
                Key=key,
                UploadId=upload,
                MultipartUpload={"Parts": parts},
            )
        except Exception:
            with contextlib.suppress(Cannot, TryLater):
                self._call("abort_multipart_upload", Key=key, UploadId=upload)
            raise
        return WrittenBlob(blob, size)

    def read(self, blob: BlobId) -> OpenBlob:
        """Open the bytes."""
        found = self._call("head_object", Key=self._key(blob))
        return _Remote(self._range(self._key(blob), found["ETag"]), found["ContentLength"])

    def remove(self, blob: BlobId) -> None:
        """Delete the object, or the upload that was not completed; nothing happens where there is
        none.
        """
        key = self._key(blob)
        self._call("delete_object", Key=key)
        for upload in self._uploads(key):
            with contextlib.suppress(_MissingError):
                self._call("abort_multipart_upload", Key=upload["Key"], UploadId=upload["UploadId"])

    def quarantine(self, blob: BlobId) -> None:
        """Move the object below `quarantine/`; nothing happens where there is none."""
        source = {"Bucket": self.bucket, "Key": self._key(blob)}
        with contextlib.suppress(_MissingError):
            self._call("copy_object", Key=f"{self.prefix}{_QUARANTINE}{blob}", CopySource=source)
            self._call("delete_object", Key=source["Key"])

    def all(self) -> Iterator[FoundBlob]:
        """Give all blobs, and what is left of those that were not written to their end."""
        place = f"{self.prefix}{_BLOBS}"
        now = datetime.now(UTC)
        for page in self._pages("list_objects_v2", place):
            for one in page.get("Contents", []):
                age = (now - one["LastModified"]).total_seconds()
                yield FoundBlob(BlobId(one["Key"].removeprefix(place)), age)
        for upload in self._uploads(place):
            age = (now - upload["Initiated"]).total_seconds()
            yield FoundBlob(BlobId(upload["Key"].removeprefix(place)), age)

    def _key(self, blob: BlobId) -> str:
        return f"{self.prefix}{_BLOBS}{blob}"

    def _write_parts(
        self, stream: Readable, key: str, upload: str, first: bytes
    ) -> tuple[int, list[dict[str, Any]]]:
        parts: list[dict[str, Any]] = []
        size, chunk = 0, first
        while chunk:
            number = len(parts) + 1
            sent = self._call(
                "upload_part", Key=key, UploadId=upload, PartNumber=number, Body=chunk
            )
            checksums = {name: value for name, value in sent.items() if name == "ChecksumCRC32"}
            parts.append({"ETag": sent["ETag"], "PartNumber": number, **checksums})
            size += len(chunk)
            chunk = _filled(stream)
        return size, parts

    def _range(self, key: str, etag: str) -> Callable[[int, int], bytes]:
        def read(first: int, last: int) -> bytes:
            found = self._call("get_object", Key=key, Range=f"bytes={first}-{last}", IfMatch=etag)
            with found["Body"] as body:
                data: bytes = self._translated("get_object", body.read)
            return data

        return read

    def _uploads(self, place: str) -> Iterator[Any]:
        for page in self._pages("list_multipart_uploads", place):
            yield from page.get("Uploads", [])

    def _pages(self, verb: str, place: str) -> Iterator[Any]:
        pages = iter(self._client().get_paginator(verb).paginate(Bucket=self.bucket, Prefix=place))
        while (page := self._translated(verb, lambda: next(pages, None))) is not None:
            yield page

    def _call(self, verb: str, **arguments: Any) -> Any:
        act = getattr(self._client(), verb)
        return self._translated(verb, lambda: act(Bucket=self.bucket, **arguments))

    def _client(self) -> Any:
        with self._making:
            if self._made is None:
                import boto3

                self._made = boto3.session.Session().client("s3", **self._options)
            return self._made

    @staticmethod
    def _translated(verb: str, act: Callable[[], Any]) -> Any:
        """Do something with the engine, and raise what a driver may raise."""
        from botocore import exceptions

        try:
            return act()
        except exceptions.ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            text = f"{verb} at the S3 engine: {error}"
            if code in _NOT_THERE:
                raise _MissingError(text) from error
            if code in _NO_SPACE or status == 507:
                raise DiskFull(text) from error
            raise (TryLater if status >= 500 or status == 429 else Cannot)(text) from error
        except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
            raise TryLater(f"{verb} at the S3 engine: {error}") from error
        except exceptions.BotoCoreError as error:
            raise Cannot(f"{verb} at the S3 engine: {error}") from error


class _MissingError(Cannot):
    """The engine has no such thing."""


class _Remote:
    def __init__(self, read: Callable[[int, int], bytes], size_bytes: int) -> None:
        self._read = read
        self._size = size_bytes

    def read_at(self, offset: int, size: int, /) -> bytes:
        last = min(offset + size, self._size) - 1
        return self._read(offset, last) if last >= offset else b""

    def fileno(self) -> int | None:
        return None

    def close(self) -> None:
        """Nothing is held."""


def _filled(stream: Readable) -> bytes:
    """Return the bytes of the next part: fewer only at the end."""
    data = bytearray()
    while len(data) < _PART_BYTES:
        try:
            chunk = stream.read(_PART_BYTES - len(data))
        except OSError as error:
            raise Cannot(f"the stream broke: {error.strerror}") from error
        if not chunk:
            break
        data += chunk
    return bytes(data)
