"""The error document of S3 ("REST error responses")."""

from __future__ import annotations

from typing import Final

from pycloud.aws.errors import AWSError
from pycloud.aws.writer import text_of

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
"""Of every document but errors."""


def error_document(error: AWSError, *, resource: str, request_id: str, host_id: str) -> bytes:
    """Return the document of an error."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{error.code}</Code><Message>{text_of(error.message)}</Message>"
        f"<Resource>{text_of(resource)}</Resource>"
        f"<RequestId>{request_id}</RequestId><HostId>{host_id}</HostId></Error>"
    ).encode()
