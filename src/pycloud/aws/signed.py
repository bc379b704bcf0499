"""Who signed a query request: from the request as it came to the caller that its key stands for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from pycloud.aws.callers import Caller, Credential, Keys
from pycloud.aws.errors import AWSError
from pycloud.aws.requests import SignatureError, SignedRequest
from pycloud.aws.signatures import authenticate
from pycloud.aws.web import WebRequest

Pairs = Sequence[tuple[str, str]]

_TOKENS = ("X-Amz-Security-Token", "SecurityToken")


def caller_of(request: WebRequest, query: Pairs, form: Pairs, keys: Keys, now: datetime) -> Caller:
    """Return who signed. Raises `AWSError` if nobody did, or not rightly."""
    found: list[Credential] = []
    token = _token_of(request, (*query, *form))

    def secret_of(access_key_id: str) -> str | None:
        if not all(map(_is_plain, (access_key_id, token or ""))):
            return None  # no database need look for it, and not all can
        credential = keys.find(access_key_id, token)
        if credential is None:
            return None
        found.append(credential)
        return credential.secret

    signed = SignedRequest(
        method=request.method,
        path=request.path,
        query=request.query,
        headers=request.headers,
        host=request.headers.get("host", ""),
        form=tuple(form),
        body_sha256=lambda: hashlib.sha256(request.body).hexdigest(),
    )
    try:
        authenticate(signed, secret_of, now, service="ec2")
    except SignatureError as error:
        raise AWSError(error.code, error.message) from None
    return found[-1].caller


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _token_of(request: WebRequest, parameters: Pairs) -> str | None:
    token = request.headers.get("x-amz-security-token")
    if token is not None:
        return token
    return next((value for name, value in parameters if name in _TOKENS), None)
