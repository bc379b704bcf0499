"""Signature Version 2: the EC2 query form, and the S3 form in the header and in the query.

Sources: "Query requests for Amazon EC2", "Signing and authenticating REST requests (AWS signature
version 2)" (S3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

import attrs

from pycloud.aws import canonical, times
from pycloud.aws.keys import Secret, same
from pycloud.aws.payloads import declared_payload
from pycloud.aws.requests import UNSIGNED, Authenticated, SecretOf, SignatureError, SignedRequest
from pycloud.aws.services import SigningRules

_DIGESTS = {"HmacSHA256": "sha256", "HmacSHA1": "sha1"}
_BUCKET_PATH = re.compile("(/services/(Walrus|objectstorage))?/[^/]+")
_AUTH_NAMES = ("AWSAccessKeyId", "Signature", "SignatureVersion", "SignatureMethod")

# What botocore signs, and what came after it: a sub-resource that is not signed could be added to a
# signed request by anybody.
_SUBRESOURCES = frozenset(
    b"""accelerate acl analytics attributes cors defaultObjectAcl delete encryption
    intelligent-tiering inventory legal-hold lifecycle location logging metrics notification
    object-lock ownershipControls partNumber policy policyStatus publicAccessBlock renameObject
    replication requestPayment response-cache-control response-content-disposition
    response-content-encoding response-content-language response-content-type response-expires
    restore retention select select-type session storageClass tagging torrent uploadId uploads
    versionId versioning versions website""".split()
)


@attrs.frozen
class _Claim:
    """What a request to S3 says of its own signature."""

    key_id: str
    signature: str
    how: Literal["header", "query"]
    date: str
    headers: Mapping[str, str]


def verify_ec2(
    request: SignedRequest, rules: SigningRules, secret_of: SecretOf, now: datetime
) -> Authenticated:
    """Verify the parameters of a query or form: every one of them is signed."""
    pairs = [
        (canonical.decoded(name), canonical.decoded(value))
        for name, value in canonical.raw_pairs(request.query)
    ]
    pairs += [(canonical.as_utf8(name), canonical.as_utf8(value)) for name, value in request.form]
    fields = _auth_fields(pairs, rules)
    digest = _DIGESTS.get(fields["SignatureMethod"])
    if fields["SignatureVersion"] != "2" or digest is None:
        raise SignatureError(
            rules.malformed_query,
            f"SignatureVersion is 2 and SignatureMethod one of {', '.join(_DIGESTS)}, "
            f"not {fields['SignatureVersion']!r} and {fields['SignatureMethod']!r}",
        )
    _check_ec2_time(pairs, rules, now)
    secret = Secret(fields["AWSAccessKeyId"], secret_of(fields["AWSAccessKeyId"]))
    signed = canonical.query_of_v2([pair for pair in pairs if pair[0] != b"Signature"])
    messages = (
        b"\n".join((request.method.encode(), canonical.as_bytes(host), path, signed))
        for host in dict.fromkeys(host.lower() for host in canonical.hosts(request.host))
        for path in [canonical.as_bytes(request.path) or b"/"]
    )
    secret.check(_any_matches(messages, secret, digest, fields["Signature"]), rules)
    return _found(fields["AWSAccessKeyId"], "query", fields["Signature"], UNSIGNED)


def verify_s3_header(
    request: SignedRequest, rules: SigningRules, secret_of: SecretOf, now: datetime
) -> Authenticated:
    """Verify `Authorization: AWS key:signature`."""
    key_id, colon, signature = request.headers["authorization"][4:].strip().rpartition(":")
    if not (colon and key_id and signature):
        raise SignatureError("InvalidArgument", "the Authorization header is AWS <key>:<signature>")
    amz_date = request.headers.get("x-amz-date")
    date = request.headers.get("date", "")
    signed_at = times.read_any(date if amz_date is None else amz_date)
    if signed_at is None:
        raise SignatureError(
            rules.missing_date, "x-amz-date or Date says when the request was signed"
        )
    times.check_skew(rules.skewed, signed_at, now)
    claim = _Claim(
        key_id=key_id,
        signature=signature,
        how="header",
        # x-amz-date takes the place of Date, and is signed among the headers of its kind.
        date=date if amz_date is None else "",
        headers=request.headers,
    )
    return _verify_s3(request, rules, secret_of, claim)


def verify_s3_query(
    request: SignedRequest, rules: SigningRules, secret_of: SecretOf, now: datetime
) -> Authenticated:
    """Verify a request presigned with `AWSAccessKeyId`, `Expires` and `Signature`."""
    pairs = [
        (canonical.decoded(name).decode("utf-8", "replace"), canonical.decoded(value))
        for name, value in canonical.raw_pairs(request.query)
    ]
    fields = {
        name: _single([value for key, value in pairs if key == name], name, "AccessDenied")
        for name in ("AWSAccessKeyId", "Expires", "Signature")
    }
    expires = fields["Expires"]
    # Eleven digits reach beyond the year 5000, and more would be no date.
    if not (expires.isascii() and expires.isdigit() and len(expires) <= 11):
        raise SignatureError("AccessDenied", f"Expires is in seconds since 1970, not {expires!r}")
    times.check_not_over(rules.expired, datetime.fromtimestamp(int(expires), UTC), now)
    claim = _Claim(
        key_id=fields["AWSAccessKeyId"],
        signature=fields["Signature"],
        how="query",
        date=expires,
        headers=_with_moved(request.headers, pairs),
    )
    return _verify_s3(request, rules, secret_of, claim)


def _with_moved(
    headers: Mapping[str, str], pairs: Iterable[tuple[str, bytes]]
) -> Mapping[str, str]:
    """Add the headers that a client moved into the query when it signed them: S3 takes them from
    there. One that is in both, or twice, with different values matches no signature.
    """
    values = {name: {value} for name, value in headers.items()}
    for name, value in pairs:
        lower = name.lower()
        if lower.startswith("x-amz-") or lower in ("content-md5", "content-type"):
            values.setdefault(lower, set()).add(value.decode("latin-1"))
    return {name: ",".join(sorted(found)) for name, found in values.items()}


def _verify_s3(
    request: SignedRequest, rules: SigningRules, secret_of: SecretOf, claim: _Claim
) -> Authenticated:
    payload = declared_payload(request.headers, UNSIGNED)
    headers = claim.headers
    head = [request.method, headers.get("content-md5", ""), headers.get("content-type", "")]
    start = b"".join(canonical.as_bytes(part).strip() + b"\n" for part in [*head, claim.date])
    names = sorted(name for name in headers if name.startswith("x-amz-"))
    messages = (
        start + block + resource
        for block in dict.fromkeys(canonical.header_blocks(names, headers, request.host))
        for resource in _resources(request)
    )
    secret = Secret(claim.key_id, secret_of(claim.key_id))
    secret.check(_any_matches(messages, secret, "sha1", claim.signature), rules)
    return _found(claim.key_id, claim.how, claim.signature, payload)


def _resources(request: SignedRequest) -> Iterator[bytes]:
    """Give the forms of "CanonicalizedResource": values of sub-resources are decoded, or not."""
    bucket = b"" if request.bucket is None else b"/" + canonical.as_bytes(request.bucket)
    path = bucket + (canonical.as_bytes(request.path) or b"/")
    yield from _with_subresources(request, path)
    # botocore signs /bucket/ and sends /bucket; with keys that would be another object.
    if request.bucket is None and _BUCKET_PATH.fullmatch(request.path):
        yield from _with_subresources(request, path + b"/")


def _with_subresources(request: SignedRequest, path: bytes) -> Iterator[bytes]:
    parts = (part.partition(b"=") for part in canonical.as_bytes(request.query).split(b"&"))
    signed = sorted(part for part in parts if part[0] in _SUBRESOURCES)
    if not signed:
        yield path
        return
    forms = [
        [name + equals + canonical.unquoted(value) for name, equals, value in signed],
        [name + equals + value for name, equals, value in signed],
        [name + (b"=" if value else b"") + canonical.decoded(value) for name, _, value in signed],
    ]
    for form in dict.fromkeys(b"&".join(form) for form in forms):
        yield path + b"?" + form


def _any_matches(messages: Iterable[bytes], secret: Secret, digest: str, signature: str) -> bool:
    given = signature.replace(" ", "+")  # a plus that was not encoded in a query
    return any(same(secret.sign_v2(message, digest), given) for message in messages)


def _auth_fields(pairs: Sequence[canonical.Pair], rules: SigningRules) -> dict[str, str]:
    return {
        name: _single(
            [value for key, value in pairs if key == name.encode()], name, rules.malformed_query
        )
        for name in _AUTH_NAMES
    }


def _single(values: Sequence[bytes], name: str, code: str) -> str:
    if len(values) != 1 or not values[0]:
        raise SignatureError(code, f"a signed request has one {name}, not {len(values)}")
    return values[0].decode("utf-8", "replace")


def _check_ec2_time(pairs: Sequence[canonical.Pair], rules: SigningRules, now: datetime) -> None:
    found = [(key, value) for key, value in pairs if key in (b"Timestamp", b"Expires")]
    if len(found) != 1:
        raise SignatureError(
            rules.missing_date, f"a signed request has one Timestamp or Expires, not {len(found)}"
        )
    name, value = found[0]
    moment = times.read_iso(value.decode("utf-8", "replace"))
    if moment is None:
        raise SignatureError(
            rules.missing_date, f"{name.decode()} is like 2013-05-24T00:00:00Z, not {value!r}"
        )
    if name == b"Expires":
        times.check_not_over(rules.expired, moment, now)
    else:
        times.check_skew(rules.skewed, moment, now)


def _found(
    key_id: str, how: Literal["header", "query"], signature: str, payload: str
) -> Authenticated:
    return Authenticated(
        access_key_id=key_id, how=how, version=2, payload=payload, seed_signature=signature
    )
