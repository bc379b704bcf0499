"""What it costs to verify a signature, beside what botocore needs to make it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from botocore.auth import SigV2Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from benchmarks.report import median, report, seconds
from pycloud.aws.chunks import ChunkedBody
from pycloud.aws.keys import sign_v4
from pycloud.aws.requests import EMPTY_SHA256, SIGNED_CHUNKS, Authenticated, SignedRequest
from pycloud.aws.signatures import authenticate

RUNS = 21
CALLS = 500
KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
CREDENTIALS = Credentials(KEY_ID, SECRET)
CHUNK = b"\x5a" * 65536
PARAMS = {
    "Action": "RunInstances",
    "Version": "2016-11-15",
    "ImageId": "emi-AF4736C9",
    "InstanceType": "m1.small",
    "KeyName": "eucatest",
    "MinCount": "1",
    "MaxCount": "1",
}


def main() -> None:
    """Take both sides in turn, so that a slow moment of the machine meets both."""
    compare("verify a V4 request to EC2", SigV4Auth(CREDENTIALS, "ec2", "pycloud"), goal_us=150)
    compare("verify a V2 request to EC2", SigV2Auth(CREDENTIALS), goal_us=150)
    compare_chunk()


def compare(name: str, signer: Any, *, goal_us: float) -> None:
    """A launch: V4 signs the POST of a form, V2 a query. The peer is botocore, which signs it."""
    is_v2 = isinstance(signer, SigV2Auth)
    method, given = ("GET", "params") if is_v2 else ("POST", "data")

    def sign() -> AWSRequest:
        request = AWSRequest(method, "http://cloud/", **{given: dict(PARAMS)})
        signer.add_auth(request)
        return request

    def verify() -> None:
        found = authenticate(sent, {KEY_ID: SECRET}.get, datetime.now(UTC), service="ec2")
        assert found is not None

    sent = _received(sign())
    ours, theirs = _each_us(verify, sign, CALLS)
    report(name, ours, "us", f"<= {goal_us} us", met=ours <= goal_us, peer=theirs)


def compare_chunk() -> None:
    """One signed chunk of 64 KiB and the empty one. The peer is SHA-256 alone: it cannot cost less."""
    head = Authenticated(
        access_key_id=KEY_ID,
        how="header",
        version=4,
        payload=SIGNED_CHUNKS,
        seed_signature="0" * 64,
        timestamp="20130524T000000Z",
        scope="20130524/us-east-1/s3/aws4_request",
        signing_key=b"k" * 32,
    )
    sent = _in_chunks(head, CHUNK)
    ours, theirs = _each_us(
        lambda: ChunkedBody(io.BytesIO(sent), head, SIGNED_CHUNKS, len(CHUNK)).read(),
        lambda: hashlib.sha256(CHUNK).hexdigest(),
        CALLS,
    )
    goal_us = theirs * 1.5 + 50
    goal = "<= 1.5 x SHA-256 + 50 us"
    report("verify a signed chunk of 64 KiB", ours, "us", goal, met=ours <= goal_us, peer=theirs)


def _received(request: AWSRequest) -> SignedRequest:
    prepared = request.prepare()
    headers = {name.lower(): str(value) for name, value in prepared.headers.items()}
    body = (prepared.body or "").encode()
    return SignedRequest(
        method=prepared.method,
        path="/",
        query=urlencode(request.params),
        headers={**headers, "host": "cloud"},
        host="cloud",
        form=tuple(request.data.items()) if request.data else (),
        body_sha256=lambda: hashlib.sha256(body).hexdigest(),
    )


def _in_chunks(head: Authenticated, whole: bytes) -> bytes:
    sent, previous = b"", head.seed_signature
    for chunk in (whole, b""):
        digest = hashlib.sha256(chunk).hexdigest()
        message = "\n".join(
            ("AWS4-HMAC-SHA256-PAYLOAD", head.timestamp, head.scope, previous, EMPTY_SHA256, digest)
        )
        previous = sign_v4(head.signing_key, message.encode())
        sent += b"%x;chunk-signature=%s\r\n%s\r\n" % (len(chunk), previous.encode(), chunk)
    return sent


def _each_us(
    ours: Callable[[], object], theirs: Callable[[], object], calls: int
) -> tuple[float, float]:
    """Return what one call of each takes."""

    def us(act: Callable[[], object]) -> float:
        return seconds(lambda: [act() for _ in range(calls)]) / calls * 1e6

    pairs = [(us(ours), us(theirs)) for _ in range(RUNS)]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)


if __name__ == "__main__":
    main()
