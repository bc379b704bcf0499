"""`authenticate`: who signed a request. The one way in, for every path of both services.

Sources: "Signature Version 4 signing process", "Authenticating Requests (AWS Signature Version 4)"
and "Signing and authenticating REST requests" (S3), "Query requests for Amazon EC2".
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from pycloud.aws import canonical, signatures_v2, signatures_v4
from pycloud.aws.payloads import check_payload
from pycloud.aws.requests import Authenticated, SecretOf, SignatureError, SignedRequest
from pycloud.aws.services import RULES, ServiceName, SigningRules

_V4_NAMES = (b"X-Amz-Algorithm", b"X-Amz-Credential", b"X-Amz-Signature")
_V2_NAMES = (b"AWSAccessKeyId", b"Signature")

Verify = Callable[[SignedRequest, SigningRules, SecretOf, datetime], Authenticated]


def authenticate(
    request: SignedRequest, secret_of: SecretOf, now: datetime, *, service: ServiceName
) -> Authenticated | None:
    """Return who signed the request, or None if nobody did and the service takes that (S3).

    The body is verified here only if `request.body_sha256` tells of it: otherwise read it through
    `open_payload`. Raises `SignatureError`.

    >>> from datetime import UTC, datetime
    >>> request = SignedRequest("GET", "/bucket", "", {"host": "cloud"}, "cloud")
    >>> authenticate(request, {}.get, datetime.now(UTC), service="s3") is None
    True
    >>> authenticate(request, {}.get, datetime.now(UTC), service="ec2")
    Traceback (most recent call last):
        ...
    pycloud.aws.requests.SignatureError: the request is not signed
    """
    rules = RULES[service]
    forms = _forms_of(request, service)
    if len(forms) > 1:
        raise SignatureError(
            rules.two_forms,
            "the request is signed in more than one way: choose the Authorization header, "
            "X-Amz-Algorithm, or Signature with AWSAccessKeyId",
        )
    if forms:
        found = forms[0](request, rules, secret_of, now)
        check_payload(request, found, rules)
        return found
    if rules.takes_anonymous:
        return None
    raise SignatureError("MissingAuthenticationToken", "the request is not signed")


def _forms_of(request: SignedRequest, service: ServiceName) -> list[Verify]:
    """Return how to verify each of the ways in which the request is signed."""
    header = request.headers.get("authorization")
    forms = [] if header is None else [_form_of_header(header, service)]
    if not (request.query or request.form):
        return forms
    names = {canonical.decoded(name) for name, _ in canonical.raw_pairs(request.query)}
    if not names.isdisjoint(_V4_NAMES):
        forms.append(signatures_v4.verify_query)
    if service == "s3" and not names.isdisjoint(_V2_NAMES):
        forms.append(signatures_v2.verify_s3_query)
    if service == "ec2":
        names.update(canonical.as_utf8(name) for name, _ in request.form)
        if not names.isdisjoint(_V2_NAMES):
            forms.append(signatures_v2.verify_ec2)
    return forms


def _form_of_header(header: str, service: ServiceName) -> Verify:
    scheme = header.split(" ", 1)[0]
    if scheme == signatures_v4.ALGORITHM:
        return signatures_v4.verify_header
    if scheme == "AWS" and service == "s3":
        return signatures_v2.verify_s3_header
    return signatures_v4.refuse_header
