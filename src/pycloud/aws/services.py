"""In what EC2 and S3 differ when they check signatures: codes and rules, as data.

Sources: "Error codes for the Amazon EC2 API", "Common errors", "Error responses" (S3 API).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import attrs

ServiceName = Literal["ec2", "s3"]


@attrs.frozen
class SigningRules:
    """The rules of one service."""

    takes_anonymous: bool
    encodes_path_twice: bool
    """And removes dot segments and double slashes from it; S3 takes the path as it is."""
    signs_body: bool
    """The body's own hash is signed; S3 signs what `x-amz-content-sha256` says."""
    needs_amz_headers_signed: bool
    unknown_key: str
    mismatch: str
    skewed: str
    expired: str
    malformed_header: str
    malformed_query: str
    unsigned_headers: str
    missing_date: str
    two_forms: str
    unknown_form: str


RULES: Mapping[ServiceName, SigningRules] = MappingProxyType(
    {
        "ec2": SigningRules(
            takes_anonymous=False,
            encodes_path_twice=True,
            signs_body=True,
            needs_amz_headers_signed=False,
            # One code and one text for both: nobody learns which keys there are.
            unknown_key="AuthFailure",
            mismatch="AuthFailure",
            skewed="RequestExpired",
            expired="RequestExpired",
            malformed_header="IncompleteSignature",
            malformed_query="IncompleteSignature",
            unsigned_headers="IncompleteSignature",
            missing_date="IncompleteSignature",
            two_forms="InvalidParameterCombination",
            unknown_form="IncompleteSignature",
        ),
        "s3": SigningRules(
            takes_anonymous=True,
            encodes_path_twice=False,
            signs_body=False,
            needs_amz_headers_signed=True,
            unknown_key="InvalidAccessKeyId",
            mismatch="SignatureDoesNotMatch",
            skewed="RequestTimeTooSkewed",
            expired="AccessDenied",
            malformed_header="AuthorizationHeaderMalformed",
            malformed_query="AuthorizationQueryParametersError",
            unsigned_headers="AccessDenied",
            missing_date="AccessDenied",
            two_forms="InvalidArgument",
            unknown_form="InvalidArgument",
        ),
    }
)
