"""Signature Version 4, in the Authorization header and in the query.

The scope (date, region, service) is the client's own: old clients put there what they can make of an
address. Only its date must be the request's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal, NoReturn

import attrs

from pycloud import limits
from pycloud.aws import canonical, times
from pycloud.aws.keys import Secret, same, sign_v4
from pycloud.aws.payloads import declared_payload
from pycloud.aws.requests import UNSIGNED, Authenticated, SecretOf, SignatureError, SignedRequest
from pycloud.aws.services import SigningRules
from pycloud.errors import InvalidValue

ALGORITHM = "AWS4-HMAC-SHA256"
_HEADER_NAMES = frozenset({"Credential", "SignedHeaders", "Signature"})
_QUERY_NAMES = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")


@attrs.frozen
class Credential:
    """Which key signed, and for what."""

    access_key_id: str
    date: str
    region: str
    service: str

    @property
    def scope(self) -> str:
        """As it stands in what is signed."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@attrs.frozen
class _Claim:
    """What a request says of its own signature."""

    how: Literal["header", "query"]
    credential: Credential
    timestamp: str
    signed_headers: tuple[str, ...]
    signature: str
    query: Sequence[canonical.Pair]


def verify_header(
    request: SignedRequest, rules: SigningRules, secret_of: SecretOf, now: datetime
) -> Authenticated:
    """Verify `Authorization: AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`."""
    code = rules.malformed_header
    fields = _header_fields(request.headers["authorization"], code)
    credential = read_credential(fields["Credential"], code)
    signed_at = _date_of(request.headers, rules)
    times.check_skew(rules.skewed, signed_at, now)
    claim = _Claim(
        how="header",
        credential=credential,
        timestamp=times.basic(signed_at),
        signed_headers=_read_signed_headers(fields["SignedHeaders"]),
        signature=fields["Signature"],
        query=canonical.raw_pairs(request.query),
    )
    payload = _body_digest(request) if rules.signs_body else declared_payload(request.headers)
    return _verify(request, rules, secret_of, claim, payload, code)


def verify_query(
    request: SignedRequest, rules: SigningRules, secret_of: SecretOf, now: datetime
) -> Authenticated:
    """Verify a presigned request."""
    code = rules.malformed_query
    fields = _query_fields(request.query, code)
    signed_at = times.read_basic(fields["Date"])
    if signed_at is None:
        raise SignatureError(code, f"X-Amz-Date is like 20130524T000000Z, not {fields['Date']!r}")
    times.check_started(rules.expired, signed_at, now)
    expires_in = timedelta(seconds=_read_expires(fields["Expires"], code))
    times.check_not_over(rules.expired, signed_at + expires_in, now)
    pairs = canonical.raw_pairs(request.query)
    claim = _Claim(
        how="query",
        credential=read_credential(fields["Credential"], code),
        timestamp=times.basic(signed_at),
        signed_headers=_read_signed_headers(fields["SignedHeaders"]),
        signature=fields["Signature"],
        query=[pair for pair in pairs if canonical.decoded(pair[0]) != b"X-Amz-Signature"],
    )
    payload = _body_digest(request) if rules.signs_body else _presigned_payload(request, pairs)
    return _verify(request, rules, secret_of, claim, payload, code)


def refuse_header(
    request: SignedRequest, rules: SigningRules, secret_of: SecretOf, now: datetime
) -> NoReturn:
    """Refuse an Authorization header of another kind."""
    scheme = request.headers["authorization"].split(" ", 1)[0][:40]
    raise SignatureError(
        rules.unknown_form, f"the Authorization header is of type {ALGORITHM}, not {scheme!r}"
    )


@lru_cache(maxsize=1024)  # a client sends the same all day
def read_credential(text: str, code: str) -> Credential:
    """Read `key/date/region/service/aws4_request`. Raises `SignatureError` with `code`."""
    parts = text.rsplit("/", 4)
    whole = len(parts) == 5 and all(parts) and parts[4] == "aws4_request"
    if not whole or len(text) > limits.CREDENTIAL_CHARS:
        raise SignatureError(
            code,
            f"the credential is <key>/<date>/<region>/<service>/aws4_request, at most "
            f"{limits.CREDENTIAL_CHARS} characters, not {text[:100]!r}",
        )
    return Credential(*parts[:4])


def _verify(
    request: SignedRequest,
    rules: SigningRules,
    secret_of: SecretOf,
    claim: _Claim,
    payload: str,
    code: str,
) -> Authenticated:
    credential = claim.credential
    if credential.date != claim.timestamp[:8]:
        raise SignatureError(
            code, f"the credential's date {credential.date!r} is not that of {claim.timestamp}"
        )
    _check_signed_headers(request, rules, claim.signed_headers)
    secret = Secret(credential.access_key_id, secret_of(credential.access_key_id))
    key = secret.signing_key(credential.date, credential.region, credential.service)
    scope = credential.scope
    head = f"{ALGORITHM}\n{claim.timestamp}\n{scope}\n"
    secret.check(_matches(request, rules, claim, payload, head, key), rules)
    return Authenticated(
        access_key_id=credential.access_key_id,
        how=claim.how,
        version=4,
        payload=payload,
        seed_signature=claim.signature,
        timestamp=claim.timestamp,
        scope=scope,
        signing_key=key,
    )


def _matches(
    request: SignedRequest,
    rules: SigningRules,
    claim: _Claim,
    payload: str,
    head: str,
    key: bytes,
) -> bool:
    names = ";".join(claim.signed_headers).encode()
    queries = canonical.queries(claim.query)
    paths = canonical.paths(request.path, twice=rules.encodes_path_twice)
    method = request.method.encode()
    for block in _header_blocks(request, claim):
        for query, path in canonical.each(queries, paths):
            text = b"\n".join((method, path, query, block, names, payload.encode()))
            message = head + hashlib.sha256(text).hexdigest()
            if same(sign_v4(key, message.encode("utf-8", "replace")), claim.signature):
                return True
    return False


def _header_blocks(request: SignedRequest, claim: _Claim) -> Iterator[bytes]:
    """Give the forms of the headers; mostly the first is the one, and the others are not made."""
    seen = set()
    for host in canonical.hosts(request.host):
        for block in canonical.header_blocks(claim.signed_headers, request.headers, host):
            if block not in seen:
                seen.add(block)
                yield block


def _header_fields(header: str, code: str) -> dict[str, str]:
    """Read what follows the algorithm; some clients put spaces after the commas, some none."""
    parts = [part.strip().partition("=") for part in header[len(ALGORITHM) :].split(",")]
    fields = {name: value for name, _, value in parts}
    if len(fields) != len(parts) or fields.keys() != _HEADER_NAMES:
        raise SignatureError(
            code, "the Authorization header has one each of Credential, SignedHeaders, Signature"
        )
    return fields


def _presigned_payload(request: SignedRequest, pairs: Sequence[canonical.Pair]) -> str:
    """Return what the header, or else the query, says of the body: mostly neither does."""
    found = (canonical.decoded(value) for name, value in pairs if name == b"X-Amz-Content-Sha256")
    return declared_payload(request.headers, next(found, UNSIGNED.encode()).decode("latin-1"))


def _query_fields(query: str, code: str) -> dict[str, str]:
    found: dict[str, list[str]] = {f"X-Amz-{name}": [] for name in _QUERY_NAMES}
    for name, value in canonical.raw_pairs(query):
        values = found.get(canonical.decoded(name).decode("utf-8", "replace"))
        if values is not None:
            values.append(canonical.decoded(value).decode("utf-8", "replace"))
    for field, values in found.items():
        if len(values) != 1:
            raise SignatureError(code, f"a presigned request has one {field}, not {len(values)}")
    fields = {name: found[f"X-Amz-{name}"][0] for name in _QUERY_NAMES}
    if fields["Algorithm"] != ALGORITHM:
        raise SignatureError(code, f"X-Amz-Algorithm is {ALGORITHM}, not {fields['Algorithm']!r}")
    return fields


def _read_expires(text: str, code: str) -> int:
    # Six digits are enough, and more need not be read.
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0
    if not 1 <= seconds <= limits.PRESIGNED_MAX_S:
        raise SignatureError(
            code, f"X-Amz-Expires is 1 to {limits.PRESIGNED_MAX_S} seconds, not {text!r}"
        )
    return seconds


def _read_signed_headers(text: str) -> tuple[str, ...]:
    return tuple(text.lower().split(";"))


def _date_of(headers: Mapping[str, str], rules: SigningRules) -> datetime:
    """Return `x-amz-date`, or else `date`, of the request."""
    text = headers.get("x-amz-date") or headers.get("date", "")
    signed_at = times.read_any(text)
    if signed_at is None:
        raise SignatureError(
            rules.missing_date, f"x-amz-date or Date says when it was signed; it has {text!r}"
        )
    return signed_at


def _check_signed_headers(
    request: SignedRequest, rules: SigningRules, signed: tuple[str, ...]
) -> None:
    unsigned = [] if "host" in signed else ["host"]
    if rules.needs_amz_headers_signed:
        unsigned += [
            name for name in request.headers if name.startswith("x-amz-") and name not in signed
        ]
    if unsigned:
        raise SignatureError(
            rules.unsigned_headers, f"these headers must be signed: {', '.join(sorted(unsigned))}"
        )


def _body_digest(request: SignedRequest) -> str:
    digest = request.body_digest()
    if digest is None:
        raise InvalidValue("this service signs the body: body_sha256 must be given")
    return digest
