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

Verify = Callable[[SignedRequest, SigningRules, SecretOf, datetime], Authenticated]


def authenticate(
    request: SignedRequest, secret_of: SecretOf, now: datetime, *, service: ServiceName
) -> Authenticated | None:
    """Return who signed the request, or None if nobody did and the service takes that (S3).

    The body is verified here only if `request.body_sha256` tells of it: otherwise read it through
    `open_payload`. Raises `SignatureError`.

    >>> request = SignedRequest("GET", "/bucket", "", {"host": "cloud"}, "cloud")
    >>> authenticate(request, {}.get, datetime.now(UTC), service="s3") is None
    True
    >>> authenticate(request, {}.get, datetime.now(UTC), service="ec2")
    Traceback (most recent call last):
        ...
    pycloud.aws.requests.SignatureError: the request is not signed
    """
    rules = RULES[service]
    forms = [verify for name, verify in _FORMS if name in _forms_of(request, service)]
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


_FORMS: tuple[tuple[str, Verify], ...] = (
    ("header-v4", signatures_v4.verify_header),
    ("header-v2", signatures_v2.verify_s3_header),
    ("header-other", signatures_v4.refuse_header),
    ("query-v4", signatures_v4.verify_query),
    ("query-v2-ec2", signatures_v2.verify_ec2),
    ("query-v2-s3", signatures_v2.verify_s3_query),
)


def _forms_of(request: SignedRequest, service: ServiceName) -> set[str]:
    forms = set()
    header = request.headers.get("authorization")
    if header is not None:
        forms.add(_form_of_header(header, service))
    names = {canonical.decoded(name) for name, _ in canonical.raw_pairs(request.query)}
    if names & {b"X-Amz-Algorithm", b"X-Amz-Credential", b"X-Amz-Signature"}:
        forms.add("query-v4")
    names |= (
        {name.encode("utf-8", "replace") for name, _ in request.form} if service == "ec2" else set()
    )
    if names & {b"AWSAccessKeyId", b"Signature"}:
        forms.add(f"query-v2-{service}")
    return forms


def _form_of_header(header: str, service: ServiceName) -> str:
    scheme = header.split(" ", 1)[0]
    if scheme == "AWS4-HMAC-SHA256":
        return "header-v4"
    return "header-v2" if scheme == "AWS" and service == "s3" else "header-other"
