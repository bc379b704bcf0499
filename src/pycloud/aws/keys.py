"""The HMACs of both versions of signing, and keys for keys that do not exist."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64encode
from functools import lru_cache

from pycloud.aws.requests import SignatureError
from pycloud.aws.services import SigningRules

# Whoever names a key that does not exist is answered after the same work as others.
_NO_SECRET = secrets.token_urlsafe(30)


class Secret:
    """The secret of an access key, or one that nobody knows if there is no such key."""

    def __init__(self, access_key_id: str, secret: str | None) -> None:
        self.access_key_id = access_key_id
        self.known = secret is not None
        self.text = _NO_SECRET if secret is None else secret

    def check(self, matches: bool, rules: SigningRules) -> None:
        """Raise `SignatureError` unless the key is known and its signature `matches`."""
        if not self.known:
            raise SignatureError(rules.unknown_key, _refusal(rules.unknown_key))
        if not matches:
            raise SignatureError(rules.mismatch, _refusal(rules.mismatch))

    def signing_key(self, date: str, region: str, service: str) -> bytes:
        """Return the V4 key for a scope."""
        return _signing_key(self.access_key_id, self.text, date, region, service)

    def sign_v2(self, message: bytes, digest: str) -> str:
        """Return the V2 signature, in base64."""
        return b64encode(hmac.digest(self.text.encode(), message, digest)).decode()


def sign_v4(signing_key: bytes, message: bytes) -> str:
    """Return the V4 signature, in hexadecimal."""
    mac = _mac(signing_key).copy()
    mac.update(message)
    return mac.hexdigest()


def same(one: str, other: str) -> bool:
    """Compare in a time that tells nothing of where they differ."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


@lru_cache(maxsize=1024)
def _signing_key(access_key_id: str, secret: str, date: str, region: str, service: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode("utf-8", "replace"), hashlib.sha256)
    return key


@lru_cache(maxsize=1024)
def _mac(signing_key: bytes) -> hmac.HMAC:
    """Return what signs with a key: a copy costs a third of a new one."""
    return hmac.new(signing_key, digestmod=hashlib.sha256)


def _refusal(code: str) -> str:
    return {
        "InvalidAccessKeyId": "the access key does not exist here",
        "SignatureDoesNotMatch": "the signature does not match: check the secret key, and that the "
        "request was sent as it was signed",
    }.get(code, "the access key does not exist here, or the signature does not match")
