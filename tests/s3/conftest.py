"""A bucket store behind the S3 adapter, with the keys of two accounts, over real HTTP."""

from __future__ import annotations

import http.client
import itertools
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from pycloud.aws.callers import Caller, Credential
from pycloud.drivers.files import FileBlobs
from pycloud.drivers.serve import WsgiServer
from pycloud.identity.sealing import Seal
from pycloud.ids import ADMIN_ACCOUNT, AccountId
from pycloud.s3 import S3App
from pycloud.state.schema import accounts
from pycloud.state.sqlite import SQLiteState
from pycloud.storage.buckets import BucketStore

STRANGER = AccountId("111122223333")
DOMAIN = "s3.test"
_NUMBERS = itertools.count(1)


class AccountKeys:
    """One key for each account, named after it."""

    def find(self, access_key_id: str, session_token: str | None) -> Credential | None:
        account = AccountId(access_key_id.removeprefix("AKIA"))
        if session_token is not None or account not in (ADMIN_ACCOUNT, STRANGER):
            return None
        return Credential("secret", Caller(account, f"AIDA{account}", "admin"))


class MovableClock:
    """The time of day, moved by as much as a test wants."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> datetime:
        moment = datetime.now(UTC).timestamp() + self.ahead_s
        return datetime.fromtimestamp(moment, UTC)


@attrs.frozen
class Answer:
    """An answer as it came over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of an error's document."""
        text = self.body.decode()
        return text.partition("<Code>")[2].partition("</Code>")[0]


@attrs.frozen
class Served:
    """A store, and where it answers."""

    store: BucketStore
    clock: MovableClock
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, account: str | None = ADMIN_ACCOUNT, **config: Any) -> Any:
        """Return boto3's client of an account, or of nobody."""
        signing = {"signature_version": UNSIGNED} if account is None else {}
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="pycloud",
            aws_access_key_id=f"AKIA{account}",
            aws_secret_access_key="secret",
            config=Config(
                **{
                    "retries": {"total_max_attempts": 1},
                    "s3": {"addressing_style": "path"},
                    **signing,
                    **config,
                }
            ),
        )

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send a request just so."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home: Path = tmp_path_factory.mktemp("s3")
    clock = MovableClock()
    with SQLiteState(home / "cloud.db") as state:
        with state.transaction() as tx:
            tx.execute(accounts.insert().values(id=STRANGER, name="stranger", created_at=tx.now))
        store = BucketStore(state, FileBlobs(home / "blobs"), seal=Seal(bytes(32)))
        app = S3App(store, AccountKeys(), domains=[DOMAIN], clock=clock)
        with WsgiServer(app, threads=16, body_bytes=0) as server:
            yield Served(store, clock, server.port)


@pytest.fixture(scope="session")
def s3(served: Served) -> Any:
    return served.client()


@pytest.fixture(scope="session")
def stranger(served: Served) -> Any:
    return served.client(STRANGER)


@pytest.fixture(scope="session")
def nobody(served: Served) -> Any:
    return served.client(None)


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"bucket-{next(_NUMBERS)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def versioned(s3: Any, bucket: str) -> str:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


@pytest.fixture
def fresh_name() -> str:
    return f"fresh-{next(_NUMBERS)}"


def refused(code: str) -> Any:
    """Expect a refusal with this code."""
    return _Refused(code)


class _Refused:
    def __init__(self, code: str) -> None:
        self._code = code

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        assert isinstance(error, ClientError), f"no refusal, but {error!r}"
        assert error.response["Error"]["Code"] == self._code, error
        return True


def in_threads(count: int, work: Any) -> list[Any]:
    """Run `work(number)` in so many threads at once; return what each gave or raised."""
    results: list[Any] = [None] * count
    start = threading.Barrier(count)

    def run(number: int) -> None:
        start.wait()
        try:
            results[number] = work(number)
        except Exception as error:  # noqa: BLE001 - it is the result
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
