"""Requests signed by botocore, in the form in which they reach a server."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import attrs
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pycloud.aws.requests import Authenticated, SignatureError, SignedRequest
from pycloud.aws.services import ServiceName
from pycloud.aws.signatures import authenticate

KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
CREDENTIALS = Credentials(KEY_ID, SECRET)
FORM = "application/x-www-form-urlencoded; charset=utf-8"


def secret_of(access_key_id: str) -> str | None:
    """The one key that there is."""
    return SECRET if access_key_id == KEY_ID else None


def signed(
    signer: Any,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    data: Any = b"",
    params: Mapping[str, str] | None = None,
    **context: Any,
) -> SignedRequest:
    """Sign with a signer of botocore and return what a server receives."""
    request = AWSRequest(method, url, dict(headers or {}), data, params=dict(params or {}))
    request.context.update(context)
    signer.add_auth(request)
    return received(request)


def received(request: AWSRequest) -> SignedRequest:
    """Return what a server receives."""
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    body = prepared.body or b""
    body = body.encode() if isinstance(body, str) else body
    headers: dict[str, list[str]] = {}
    for name, value in prepared.headers.items():
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        headers.setdefault(name.lower(), []).append(text)
    is_form = "urlencoded" in "".join(headers.get("content-type", []))
    return SignedRequest(
        method=prepared.method,
        path=parts.path,
        query=parts.query,
        headers={"host": parts.netloc} | {name: ",".join(v) for name, v in headers.items()},
        host=parts.netloc,
        form=tuple(parse_qsl(body.decode(), keep_blank_values=True)) if is_form else (),
        body_sha256=hashlib.sha256(body).hexdigest(),
    )


def signed_v2(
    method: str,
    url: str,
    params: Mapping[str, str],
    *,
    digest: str = "HmacSHA256",
    dated: bool = True,
) -> SignedRequest:
    """Sign a query to EC2 as boto 2 and euca2ools do, which botocore does no more with SHA-1."""
    parts = urlsplit(url)
    fields = {
        "AWSAccessKeyId": KEY_ID,
        "SignatureVersion": "2",
        "SignatureMethod": digest,
        **({"Timestamp": now().strftime("%Y-%m-%dT%H:%M:%SZ")} if dated else {}),
        **params,
    }
    text = "&".join(
        urlencode([(name, fields[name])]).replace("+", "%20").replace("%7E", "~")
        for name in sorted(fields)
    )
    message = f"{method}\n{parts.netloc}\n{parts.path or '/'}\n{text}".encode()
    algorithm = digest.removeprefix("Hmac").lower()
    fields["Signature"] = base64.b64encode(
        hmac.digest(SECRET.encode(), message, algorithm)
    ).decode()
    return SignedRequest(
        method=method,
        path=parts.path,
        query=urlencode(fields) if method == "GET" else "",
        headers={"host": parts.netloc},
        host=parts.netloc,
        form=tuple(fields.items()) if method == "POST" else (),
    )


def check(
    request: SignedRequest, service: ServiceName, at: datetime | None = None
) -> Authenticated:
    """Authenticate, and hold it to be the one key's."""
    found = authenticate(request, secret_of, at or now(), service=service)
    assert found is not None
    assert found.access_key_id == KEY_ID
    return found


def refusal(request: SignedRequest, service: ServiceName, at: datetime | None = None) -> str:
    """Return the code with which the request is refused; empty if it is not."""
    try:
        authenticate(request, secret_of, at or now(), service=service)
    except SignatureError as error:
        return error.code
    return ""


def with_header(request: SignedRequest, name: str, value: str) -> SignedRequest:
    """Return the request with a header changed."""
    return attrs.evolve(request, headers={**request.headers, name: value})


def now() -> datetime:
    """Botocore signs with the host's clock."""
    return datetime.now(UTC)
