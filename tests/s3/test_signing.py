"""Who signed, and what of: headers and presigned URLs, old and new, prefixes, hosts, chunks."""

from __future__ import annotations

import hashlib
import hmac
import http.client
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import HmacV1Auth, HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.s3.conftest import DOMAIN, Answer, Served, refused

GOOD = Credentials("AKIA000000000001", "secret")
BAD = Credentials("AKIA000000000001", "guess")
UNKNOWN = Credentials("AKIANOBODY", "secret")


def _signer(version: int, credentials: Credentials, *, query: bool = False) -> Any:
    if version == 2:
        return HmacV1QueryAuth(credentials) if query else HmacV1Auth(credentials)
    kind = S3SigV4QueryAuth if query else S3SigV4Auth
    return kind(credentials, "s3", "pycloud", **({"expires": 60} if query else {}))


def _ask(
    served: Served,
    method: str,
    path: str,
    signer: Any,
    *,
    body: bytes = b"",
    host: str = "",
    signed_path: str | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Sign a request (as if it were for `signed_path`) and send it."""
    host = host or f"127.0.0.1:{served.port}"
    request = AWSRequest(
        method,
        f"http://{host}{signed_path or path}",
        data=body,
        headers={"Host": host, **(headers or {})},
    )
    signer.add_auth(request)
    prepared = request.prepare()
    found = urlsplit(prepared.url)
    query = f"?{found.query}" if found.query and "?" not in path else ""
    return served.ask(method, path + query, headers=dict(prepared.headers), body=body)


@pytest.fixture
def stored(s3: Any, bucket: str) -> str:
    s3.put_object(Bucket=bucket, Key="a b", Body=b"sand")
    return bucket


@pytest.mark.parametrize("query", [False, True])
@pytest.mark.parametrize("version", [2, 4])
def test_each_way_of_signing(served: Served, stored: str, version: int, query: bool) -> None:
    path = f"/{stored}/a%20b"
    good = _ask(served, "GET", path, _signer(version, GOOD, query=query))
    assert (good.status, good.body) == (200, b"sand")
    bad = _ask(served, "GET", path, _signer(version, BAD, query=query))
    assert (bad.status, bad.code) == (403, "SignatureDoesNotMatch")
    unknown = _ask(served, "GET", path, _signer(version, UNKNOWN, query=query))
    assert (unknown.status, unknown.code) == (403, "InvalidAccessKeyId")


@pytest.mark.parametrize("prefix", ["/services/Walrus", "/services/objectstorage"])
@pytest.mark.parametrize("version", [2, 4])
@pytest.mark.parametrize("signs_prefix", [True, False])
def test_the_old_prefixes(
    served: Served, stored: str, prefix: str, version: int, signs_prefix: bool
) -> None:
    for rest, expected in ((f"/{stored}/a%20b", b"sand"), ("/", b"ListAllMyBucketsResult")):
        path = prefix + rest
        signed = path if signs_prefix else rest
        answer = _ask(served, "GET", path, _signer(version, GOOD), signed_path=signed)
        assert answer.status == 200
        assert expected in answer.body


@pytest.mark.parametrize("version", [2, 4])
def test_the_host_names_the_bucket(served: Served, stored: str, version: int) -> None:
    host = f"{stored}.{DOMAIN}:{served.port}"
    signer = _signer(version, GOOD)
    # Version 2 signs the bucket as part of the path.
    signed = f"/{stored}/a%20b" if version == 2 else None
    answer = _ask(served, "GET", "/a%20b", signer, host=host, signed_path=signed)
    assert (answer.status, answer.body) == (200, b"sand")


def test_the_host_names_the_bucket_to_boto(served: Served, stored: str) -> None:
    client = served.client(s3={"addressing_style": "virtual"})

    def send(request: Any, **_: Any) -> None:
        found = urlsplit(request.url)
        request.url = f"{served.url}{found.path}?{found.query}"

    signed = f"http://{DOMAIN}:{served.port}"
    client.meta.events.register("before-sign.s3", lambda request, **_: _rename(request, signed))
    client.meta.events.register("before-send.s3", send)
    assert client.get_object(Bucket=stored, Key="a b")["Body"].read() == b"sand"


def _rename(request: Any, base: str) -> None:
    bucket, _, rest = urlsplit(request.url).path.lstrip("/").partition("/")
    host = urlsplit(base).netloc
    request.url = f"http://{bucket}.{host}/{rest}"
    request.headers["Host"] = f"{bucket}.{host}"


def test_a_presigned_url_ends(served: Served, s3: Any, stored: str) -> None:
    url = s3.generate_presigned_url("get_object", {"Bucket": stored, "Key": "a b"}, ExpiresIn=60)
    path = url.removeprefix(served.url)
    assert served.ask("GET", path).body == b"sand"
    assert served.ask("DELETE", path).code == "SignatureDoesNotMatch"
    assert served.ask("GET", path.replace("a%20b", "other")).code == "SignatureDoesNotMatch"
    served.clock.ahead_s = 61
    try:
        assert served.ask("GET", path).code == "AccessDenied"
    finally:
        served.clock.ahead_s = 0


def test_a_presigned_url_stores(served: Served, s3: Any, bucket: str) -> None:
    url = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "up"})
    assert served.ask("PUT", url.removeprefix(served.url), body=b"x" * 100_000).status == 200
    assert s3.head_object(Bucket=bucket, Key="up")["ContentLength"] == 100_000


def test_a_clock_that_is_wrong(served: Served, stored: str) -> None:
    served.clock.ahead_s = 16 * 60
    try:
        answer = _ask(served, "GET", f"/{stored}/a%20b", _signer(4, GOOD))
        assert (answer.status, answer.code) == (403, "RequestTimeTooSkewed")
    finally:
        served.clock.ahead_s = 0


def test_two_ways_at_once(served: Served, s3: Any, stored: str) -> None:
    url = s3.generate_presigned_url("get_object", {"Bucket": stored, "Key": "a b"})
    answer = served.ask("GET", url.removeprefix(served.url), headers={"Authorization": "AWS a:b"})
    assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_the_body_is_the_signed_one(served: Served, s3: Any, bucket: str) -> None:
    signer = _signer(4, GOOD)
    host = f"127.0.0.1:{served.port}"
    request = AWSRequest("PUT", f"http://{host}/{bucket}/a", data=b"signed", headers={"Host": host})
    signer.add_auth(request)
    headers = dict(request.prepare().headers)
    sent = served.ask("PUT", f"/{bucket}/a", headers=headers, body=b"forged")
    assert (sent.status, sent.code) == (400, "XAmzContentSHA256Mismatch")
    policy = served.ask("PUT", f"/{bucket}?policy", headers=headers, body=b"forged")
    assert policy.code == "SignatureDoesNotMatch"
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="a")


def test_a_body_in_http_s_own_chunks(served: Served, s3: Any, bucket: str) -> None:
    url = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a"})
    body = b"sand" * 50_000

    def pieces() -> Any:
        for start in range(0, len(body), 30_000):
            yield body[start : start + 30_000]

    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.request("PUT", url.removeprefix(served.url), body=pieces(), encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == body


def test_signed_chunks(served: Served, s3: Any, bucket: str) -> None:
    body = b"sand" * 40_000
    path = f"/{bucket}/a"

    def send(spoil: bool) -> Answer:
        headers, sent = _in_signed_chunks(f"http://127.0.0.1:{served.port}{path}", body)
        if spoil:
            sent = sent.replace(b"sandsand", b"sendsend", 1)
        return served.ask("PUT", path, headers=headers, body=sent)

    assert send(spoil=True).code == "SignatureDoesNotMatch"
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="a")
    assert send(spoil=False).status == 200
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == body


def test_chunks_where_s3_has_none(served: Served, bucket: str) -> None:
    headers, sent = _in_signed_chunks(f"{served.url}/{bucket}?policy", b"{}")
    answer = served.ask("PUT", f"/{bucket}?policy", headers=headers, body=sent)
    assert (answer.status, answer.code) == (501, "NotImplemented")


class _ChunkSigner(S3SigV4Auth):  # type: ignore[misc]  # botocore has no types
    """Signs a head whose body is signed chunk by chunk."""

    def payload(self, request: Any) -> str:
        return "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"

    def sign_chunk(self, chunk: bytes, previous: str, moment: str) -> str:
        scope = f"{moment[:8]}/pycloud/s3/aws4_request"
        digests = f"{hashlib.sha256(b'').hexdigest()}\n{hashlib.sha256(chunk).hexdigest()}"
        text = f"AWS4-HMAC-SHA256-PAYLOAD\n{moment}\n{scope}\n{previous}\n{digests}"
        key = b"AWS4secret"
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.digest(key, text.encode(), "sha256").hex()


def _in_signed_chunks(url: str, body: bytes) -> tuple[dict[str, str], bytes]:
    """Return the head and the body of an upload in signed chunks."""
    headers = {
        "Host": urlsplit(url).netloc,
        "Content-Encoding": "aws-chunked",
        "X-Amz-Decoded-Content-Length": str(len(body)),
    }
    request = AWSRequest("PUT", url, data=b"", headers=headers)
    signer = _ChunkSigner(GOOD, "s3", "pycloud")
    signer.add_auth(request)
    moment = request.context["timestamp"]
    signature = request.headers["Authorization"].rpartition("Signature=")[2]
    sent = b""
    for chunk in [*(body[at : at + 65536] for at in range(0, len(body), 65536)), b""]:
        signature = signer.sign_chunk(chunk, signature, moment)
        sent += b"%x;chunk-signature=%s\r\n%s\r\n" % (len(chunk), signature.encode(), chunk)
    return dict(request.headers.items()) | {"Content-Length": str(len(sent))}, sent
