"""The XML documents around an answer and an error, by service and version."""

from __future__ import annotations

import re
from typing import Final

from pycloud.aws.actions import Action, Answer
from pycloud.aws.errors import AWSError
from pycloud.aws.models import service_model
from pycloud.aws.writer import text_of

_HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def namespace_of(service: str, version: str) -> str:
    """Return the answer's `xmlns`: of EC2 the version that the client sent, with a slash at the end
    that libcloud compares. Raises `AWSError` for what is no version.
    """
    if service != "ec2":
        return str(service_model(service).metadata["xmlNamespace"])
    if not version:
        version = str(service_model(service).api_version)
    if not _VERSION.fullmatch(version):
        raise AWSError(
            "NoSuchVersion", f"The version {version[:40]!r} does not exist; 2016-11-15 does"
        )
    return f"http://ec2.amazonaws.com/doc/{version}/"


def answer_document(action: Action, answer: Answer, version: str, request_id: str) -> bytes:
    """Return the document of an answer."""
    namespace = namespace_of(action.service, version)
    inside = action.write(answer)
    if action.service == "ec2":
        inside = f"<requestId>{request_id}</requestId>{inside}"
    else:
        if action.result_wrapper is not None:
            inside = f"<{action.result_wrapper}>{inside}</{action.result_wrapper}>"
        inside += f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
    root = f"{action.name}Response"
    return f'{_HEAD}<{root} xmlns="{namespace}">{inside}</{root}>'.encode()


def error_document(service: str, error: AWSError, request_id: str) -> bytes:
    """Return the document of an error; EC2's has no namespace."""
    inside = f"<Code>{error.code}</Code><Message>{text_of(error.message)}</Message>"
    if service == "ec2":
        errors = f"<Errors><Error>{inside}</Error></Errors>"
        return f"{_HEAD}<Response>{errors}<RequestID>{request_id}</RequestID></Response>".encode()
    blame = "Receiver" if error.status >= 500 else "Sender"
    return (
        f'{_HEAD}<ErrorResponse xmlns="{namespace_of(service, "")}">'
        f"<Error><Type>{blame}</Type>{inside}</Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    ).encode()
