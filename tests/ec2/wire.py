"""Requests straight to the WSGI callable, without HTTP, and what every answer must hold to."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import attrs
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from pycloud.aws.models import service_model
from pycloud.ec2 import EC2App
from pycloud.ids import ADMIN_ACCOUNT, AccountId

HOST = "cloud.example:8773"
FORM = "application/x-www-form-urlencoded"


@attrs.frozen
class Reply:
    """What came back."""

    status: int
    phrase: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of an error; empty if it is none."""
        return "" if self.status == 200 else ET.fromstring(self.body).findtext(".//{*}Code", "")

    @property
    def request_id(self) -> str:
        """The one in the document."""
        names = ("requestId", "RequestID", "RequestId")
        root = ET.fromstring(self.body)
        found = [one.text for one in root.iter() if one.tag.rpartition("}")[2] in names]
        assert len(found) == 1
        return str(found[0])


class _Log(logging.Handler):
    """Keeps what each thread logs."""

    def __init__(self) -> None:
        super().__init__()
        self._kept = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.records.append(record)

    @property
    def records(self) -> list[logging.LogRecord]:
        """Those of this thread."""
        if not hasattr(self._kept, "records"):
            self._kept.records = []
        found: list[logging.LogRecord] = self._kept.records
        return found


_LOG = _Log()
logging.getLogger("pycloud.ec2").addHandler(_LOG)
logging.getLogger("pycloud.ec2").setLevel(logging.INFO)


class Wire:
    """A client of `app` that also reads what it logs."""

    def __init__(self, app: EC2App) -> None:
        self.app = app
        self.records: list[logging.LogRecord] = []

    def call(
        self,
        service: str,
        action: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        account: AccountId = ADMIN_ACCOUNT,
    ) -> Any:
        """Send what botocore sends, and return what botocore makes of the answer."""
        model = service_model(service)
        operation = model.operation_model(action)
        protocol = model.metadata["protocol"]
        sent = create_serializer(protocol, False).serialize_to_request(
            dict(arguments or {}), operation
        )
        reply = self.post(urlencode(sent["body"]).encode(), account=account)
        return create_parser(protocol).parse(
            {"status_code": reply.status, "headers": reply.headers, "body": reply.body},
            operation.output_shape,
        )

    def post(
        self,
        body: bytes = b"",
        *,
        query: str = "",
        method: str = "POST",
        path: str = "/",
        content_type: str = FORM,
        host: str = HOST,
        account: AccountId | None = ADMIN_ACCOUNT,
        **environ: Any,
    ) -> Reply:
        """Send bytes, signed unless there is no account."""
        headers: dict[str, str] = {"host": host, "content-type": content_type}
        if account is not None:
            url = f"http://{HOST}{path}{'?' if query else ''}{query}"
            request = AWSRequest(method, url, headers, body)
            credentials = Credentials(f"AKIA{account}", "secret")
            SigV4Auth(credentials, "ec2", "pycloud").add_auth(request)
            headers = {name.lower(): value for name, value in request.headers.items()}
        return self.send(
            {
                "REQUEST_METHOD": method,
                "PATH_INFO": path,
                "REQUEST_URI": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": headers.pop("content-type"),
                "CONTENT_LENGTH": str(len(body)),
                "wsgi.input": io.BytesIO(body),
                **{f"HTTP_{name.upper().replace('-', '_')}": headers[name] for name in headers},
                **environ,
            }
        )

    def send(self, environ: Mapping[str, Any]) -> Reply:
        """Send an environment, and hold the answer to what is true of all of them."""
        begun: list[Any] = []
        _LOG.records.clear()
        body = b"".join(
            self.app(
                {
                    "SCRIPT_NAME": "",
                    "SERVER_NAME": "cloud.example",
                    "SERVER_PORT": "8773",
                    "wsgi.url_scheme": "http",
                    **environ,
                },
                lambda status, headers: begun.append((status, headers)),
            )
        )
        self.records = [*_LOG.records]
        [(line, headers)] = begun
        status, _, phrase = line.partition(" ")
        reply = Reply(int(status), phrase, dict(headers), body)
        self._check(reply, environ["REQUEST_METHOD"])
        return reply

    def _check(self, reply: Reply, method: str) -> None:
        traces = [one for one in self.records if one.exc_info]
        assert not traces, logging.Formatter().format(traces[0])
        assert reply.status == 200 or 400 <= reply.status < 500, reply
        [line] = [one.getMessage() for one in self.records]
        assert line.startswith(reply.headers["x-amzn-RequestId"])
        if method == "HEAD":
            assert reply.body == b""
            return
        assert int(reply.headers["Content-Length"]) == len(reply.body)
        assert reply.request_id == reply.headers["x-amzn-RequestId"]
        assert reply.status == 200 or (reply.code and reply.code != "InternalError"), reply
