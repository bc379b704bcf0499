"""Who signed a request: from its head to the caller that its key stands for."""

from __future__ import annotations

from datetime import datetime

from pycloud.aws.callers import Caller, Credential, Keys
from pycloud.aws.requests import Authenticated, SignatureError, SignedRequest
from pycloud.aws.signatures import authenticate
from pycloud.s3.request import S3Request

_TOKENS = ("X-Amz-Security-Token", "x-amz-security-token")


class Looked:
    """Looks keys up, and remembers whose the last one was."""

    def __init__(self, keys: Keys, token: str | None) -> None:
        self._keys = keys
        self._token = token
        self.caller: Caller | None = None

    def secret_of(self, access_key_id: str) -> str | None:
        """Return the secret of a key, None if there is no such key."""
        found: Credential | None = self._keys.find(access_key_id, self._token)
        self.caller = None if found is None else found.caller
        return None if found is None else found.secret


def caller_of(
    request: S3Request, keys: Keys, now: datetime
) -> tuple[Caller | None, Authenticated | None]:
    """Return who signed, and how; None twice if nobody did. Raises `SignatureError`."""
    looked = Looked(keys, _token_of(request))
    paths = [request.path]
    if request.prefix:
        # Some clients sign the path with the prefix, some without.
        paths.append(request.path.removeprefix(request.prefix) or "/")
    for path in paths:
        try:
            found = authenticate(_signed(request, path), looked.secret_of, now, service="s3")
        except SignatureError as refusal:
            if refusal.code == "SignatureDoesNotMatch" and path is not paths[-1]:
                continue
            raise
        return (None, None) if found is None else (looked.caller, found)
    raise AssertionError


def _signed(request: S3Request, path: str) -> SignedRequest:
    return SignedRequest(
        method=request.method,
        path=path,
        query=request.raw_query,
        headers=request.headers,
        host=request.host,
        body_sha256=None,
        bucket=request.bucket if request.is_virtual else None,
    )


def _token_of(request: S3Request) -> str | None:
    token = request.headers.get("x-amz-security-token")
    if token is not None:
        return token
    return next((request.query[name] for name in _TOKENS if name in request.query), None)
