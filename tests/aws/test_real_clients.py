"""boto3 itself, over real HTTP and HTTPS: what it sends is accepted, and its bodies are whole."""

from __future__ import annotations

import datetime as dt
import io
import ssl
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pycloud.aws.chunks import ChunkedBody
from pycloud.aws.payloads import open_payload
from pycloud.aws.requests import (
    UNSIGNED_CHUNKS_AND_TRAILER,
    Authenticated,
    SignatureError,
    SignedRequest,
)
from pycloud.aws.signatures import authenticate
from tests.aws.clients import KEY_ID, SECRET, now, secret_of

ANSWER = b"<Answer><GetCallerIdentityResult/><ListUsersResult/></Answer>"


class Door(BaseHTTPRequestHandler):
    """Lets in who signed, and remembers what they brought."""

    protocol_version = "HTTP/1.1"
    found: list[tuple[Authenticated, bytes, dict[str, str]]]
    refused: list[SignatureError]

    def answer(self) -> None:
        body = b"".join(self.pieces())
        try:
            status = self.enter(io.BytesIO(body), len(body))
        except SignatureError as error:
            self.refused.append(error)
            status = 403
        self.send_response(status)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(ANSWER)

    def pieces(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding") != "chunked":
            yield self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815

    def enter(self, sent: io.BytesIO, length: int) -> int:
        path, _, query = self.path.partition("?")
        names = {name.lower() for name in self.headers}
        headers = {name: ",".join(self.headers.get_all(name, [])) for name in names}
        is_form = "urlencoded" in headers.get("content-type", "")
        is_s3 = not is_form and "Action=" not in query
        form = parse_qsl(sent.getvalue().decode(), keep_blank_values=True) if is_form else []
        request = SignedRequest(
            method=self.command,
            path=path,
            query=query,
            headers=headers,
            host=headers["host"],
            form=tuple(form),
            body_sha256=None if is_s3 else lambda: sha256(sent.getvalue()).hexdigest(),
        )
        found = authenticate(request, secret_of, now(), service="s3" if is_s3 else "ec2")
        assert found is not None
        reader = open_payload(sent, found, headers, length)
        body = reader.read()
        trailers = dict(reader.trailers) if isinstance(reader, ChunkedBody) else {}
        self.found.append((found, body, trailers))
        return 200

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _certificate(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now() - dt.timedelta(days=1))
        .not_valid_after(now() + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))


class Entrance:
    """A running server, and clients of it."""

    def __init__(self, certificate: Path | None) -> None:
        self.door: Any = type("DoorOfTest", (Door,), {"found": [], "refused": []})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.door)
        self.certificate = certificate
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        scheme = "http" if certificate is None else "https"
        self.url = f"{scheme}://localhost:{self.server.server_port}"

    def client(self, service: str, version: str | None = None, prefix: str = "") -> Any:
        return boto3.client(
            service,
            region_name="eucalyptus",
            endpoint_url=self.url + prefix,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            verify=None if self.certificate is None else str(self.certificate),
            config=Config(
                signature_version=version,
                retries={"max_attempts": 1},
                s3={"addressing_style": "path"},
            ),
        )

    @property
    def last(self) -> tuple[Authenticated, bytes, dict[str, str]]:
        assert self.door.refused == []
        last: tuple[Authenticated, bytes, dict[str, str]] = self.door.found[-1]
        return last


@pytest.fixture(params=["http", "https"])
def entrance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Entrance]:
    certificate = tmp_path / "localhost.pem" if request.param == "https" else None
    if certificate is not None:
        _certificate(certificate)
    entrance = Entrance(certificate)
    thread = threading.Thread(target=entrance.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield entrance
    entrance.server.shutdown()
    entrance.server.server_close()
    thread.join()


@pytest.mark.parametrize("prefix", ["", "/services/compute", "/services/Eucalyptus/"])
def test_ec2(entrance: Entrance, prefix: str) -> None:
    entrance.client("ec2", prefix=prefix).describe_images(
        Owners=["self"], Filters=[{"Name": "tag:a+b", "Values": ["c d/é*~"]}]
    )
    found, _, _ = entrance.last
    assert found.scope.endswith("/eucalyptus/ec2/aws4_request")


@pytest.mark.parametrize("service", ["sts", "iam"])
def test_its_companions(entrance: Entrance, service: str) -> None:
    client = entrance.client(service)
    client.get_caller_identity() if service == "sts" else client.list_users()
    assert f"/{service}/" in entrance.last[0].scope


KEYS = ["plain", "a b+c", "é/ü", "a//b/../c", "~!*'();:@&=+$,#[]", "%2F%20", "x" * 200]


@pytest.mark.parametrize("version", ["s3v4", "s3"])
@pytest.mark.parametrize("key", KEYS)
def test_s3(entrance: Entrance, version: str, key: str) -> None:
    client = entrance.client("s3", version)
    client.put_object(
        Bucket="b",
        Key=key,
        Body=io.BytesIO(b"abc" * 10_000),
        Metadata={"a": "b   c"},
        ACL="private",
    )
    found, body, _ = entrance.last
    assert body == b"abc" * 10_000
    assert found.version == (4 if version == "s3v4" else 2)
    client.get_object(Bucket="b", Key=key, ResponseContentType="a/b; c=é+", VersionId="v+/=")
    client.head_object(Bucket="b", Key=key)
    client.put_object_acl(Bucket="b", Key=key, ACL="private")
    client.list_objects_v2(Bucket="b", Prefix=key, Delimiter="/")
    client.delete_objects(Bucket="b", Delete={"Objects": [{"Key": key}]})
    assert len(entrance.door.found) == 6
    assert entrance.last[1].startswith(b"<Delete")


def test_a_body_over_https_has_a_checksum_behind_it(entrance: Entrance) -> None:
    entrance.client("s3").put_object(Bucket="b", Key="k", Body=io.BytesIO(b"a" * 3_000_000))
    found, body, trailers = entrance.last
    assert len(body) == 3_000_000
    over_https = entrance.certificate is not None
    assert (found.payload == UNSIGNED_CHUNKS_AND_TRAILER) == over_https
    assert bool(trailers) == over_https


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_presigned(entrance: Entrance, version: str) -> None:
    client = entrance.client("s3", version)
    params = {"Bucket": "b", "Key": "a b+é", "ContentType": "a/b", "ACL": "private"}
    url = client.generate_presigned_url("put_object", Params=params, ExpiresIn=60)
    # V2 moves its headers into the query, V4 signs them where they are.
    headers = {"Content-Type": "a/b"} | ({"x-amz-acl": "private"} if version == "s3v4" else {})
    trust = ssl.create_default_context(cafile=entrance.certificate)
    request = Request(url, b"body", headers, method="PUT")
    assert urlopen(request, context=trust if entrance.certificate else None).status == 200
    assert entrance.last[0].how == "query"
    assert entrance.last[1] == b"body"
