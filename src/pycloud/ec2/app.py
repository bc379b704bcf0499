"""`EC2App`: a WSGI callable that speaks EC2, and of STS and IAM what tools call first."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from pycloud import limits
from pycloud.aws.actions import Action
from pycloud.aws.callers import Caller, Keys
from pycloud.aws.canonical import as_bytes
from pycloud.aws.documents import answer_document, error_document, namespace_of
from pycloud.aws.errors import AWSError
from pycloud.aws.models import service_model
from pycloud.aws.parameters import Tree, pairs_of, tree_of
from pycloud.aws.signed import caller_of
from pycloud.aws.web import WebRequest, read_request
from pycloud.clock import Clock, SystemClock
from pycloud.cloud import CloudController
from pycloud.ec2.actions import ACTIONS
from pycloud.ec2.call import Call
from pycloud.ec2.codes import error_of
from pycloud.ec2.identity import IdentityKeys
from pycloud.errors import InvalidValue, PyCloudError

_log = logging.getLogger("pycloud.ec2")

_SERVICES: Final = {"2011-06-15": "sts", "2010-05-08": "iam"}
"""By the version that the client sends; all others are EC2's."""
_COMMON: Final = frozenset(
    {
        "Action",
        "Version",
        # Of signatures in a query or form.
        "AWSAccessKeyId",
        "Expires",
        "SecurityToken",
        "Signature",
        "SignatureMethod",
        "SignatureVersion",
        "Timestamp",
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-Security-Token",
        "X-Amz-Signature",
        "X-Amz-SignedHeaders",
    }
)
"""Parameters of every request, beside those of its action."""

_FORM: Final = "application/x-www-form-urlencoded"

StartResponse = Callable[..., Any]


class EC2App:
    """The cloud as a WSGI callable, at whatever path it is mounted.

    `keys` know the access keys; by default the cloud's own `identity` does. `clock` tells whether a
    signature is too old. Raises `InvalidValue` if botocore is missing, or there are no keys.

    >>> from pycloud.aws.callers import FixedKeys
    >>> from pycloud.ec2 import EC2App
    >>> from pycloud.testing import SimWorld
    >>> with SimWorld() as world:
    ...     app = EC2App(world.cloud, keys=FixedKeys({"AKIDEXAMPLE": "a secret"}))
    """

    def __init__(
        self, cloud: CloudController, *, keys: Keys | None = None, clock: Clock | None = None
    ) -> None:
        self.cloud = cloud
        self._clock = clock or SystemClock()
        self._keys: Keys = keys or _own_keys(cloud)
        for service in ("ec2", "sts", "iam"):
            service_model(service)  # so that the first request does not wait for it

    def __call__(
        self, environ: Mapping[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer one request."""
        began = time.perf_counter()
        request = _Request(self.cloud, self._keys, self._clock.now(), environ)
        status, body = request.answer()
        _log.info(
            "%s %s by %s: %s in %.1f ms",
            request.id,
            request.action or "?",
            request.caller.arn if request.caller else "anonymous",
            request.outcome,
            (time.perf_counter() - began) * 1e3,
        )
        headers = [
            ("Content-Type", "text/xml;charset=UTF-8"),
            ("Content-Length", str(len(body))),
            ("x-amzn-RequestId", request.id),
        ]
        if status == 405:
            headers.append(("Allow", "GET, POST"))
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _own_keys(cloud: CloudController) -> Keys:
    if cloud.identity is None:
        raise InvalidValue(
            "EC2App needs access keys: give keys=, or assemble the cloud with identity="
        )
    return IdentityKeys(cloud.identity)


class _Request:
    """One request on its way to an answer; remembers how far it came, for the log."""

    def __init__(
        self, cloud: CloudController, keys: Keys, now: datetime, environ: Mapping[str, Any]
    ) -> None:
        self.id = str(uuid4())
        self.action = ""
        self.caller: Caller | None = None
        self.outcome = "ok"
        self._cloud = cloud
        self._keys = keys
        self._now = now
        self._environ = environ
        self._service = "ec2"

    def answer(self) -> tuple[int, bytes]:
        """Return the status and the body."""
        try:
            return 200, self._carry_out()
        except AWSError as error:
            refusal = error
        except Exception as error:  # noqa: BLE001 - whatever it is, the client must get an answer
            refusal = self._refusal_of(error)
        self.outcome = refusal.code
        return refusal.status, error_document(self._service, refusal, self.id)

    def _carry_out(self) -> bytes:
        request = read_request(self._environ, most_bytes=limits.QUERY_BODY_BYTES)
        if request.method not in ("GET", "POST"):
            raise AWSError("MethodNotAllowed", f"The method is GET or POST, not {request.method}")
        pairs = pairs_of(as_bytes(request.query))
        form = _form_of(request)
        self._service = _service_of([*pairs, *form])
        self.caller = caller_of(request, pairs, form, self._keys, self._now)
        tree = tree_of([*pairs, *form])
        version = _value(tree, "Version")
        namespace_of(self._service, version)  # refused before anything is done
        action = self._find(_value(tree, "Action"))
        arguments, is_dry = action.arguments(
            {name: value for name, value in tree.items() if name not in _COMMON}
        )
        # Here policies will be asked whether the caller may, once there are some.
        if is_dry:
            # As on AWS: whether the caller may is asked, not whether there is such a thing.
            raise AWSError(
                "DryRunOperation", "Request would have succeeded, but DryRun flag is set."
            )
        call = Call(self._cloud, self.caller, self.id, _endpoint(self._environ, request))
        answer = action.handler(call, **arguments)
        return answer_document(action, answer, version, self.id)

    def _find(self, name: str) -> Action:
        if not name:
            raise AWSError("MissingAction", "The request must contain the parameter Action")
        action = ACTIONS.get((self._service, name))
        if action is not None:
            self.action = name
            return action
        if name in service_model(self._service).operation_names:
            self.action = name
            raise AWSError("UnsupportedOperation", f"This cloud does not carry out {name}")
        raise AWSError(
            "InvalidAction", f"The action {name[:80]} is not valid for this web service."
        )

    def _refusal_of(self, error: Exception) -> AWSError:
        """Return what the client is told of an error; if it is ours, the log tells what it was."""
        if isinstance(error, PyCloudError):
            action = ACTIONS.get((self._service, self.action))
            refusal = error_of(error, {} if action is None else action.codes)
            if refusal.status != HTTPStatus.INTERNAL_SERVER_ERROR:
                return refusal
        _log.error("%s %s failed", self.id, self.action, exc_info=error)
        return AWSError("InternalError", "An internal error has occurred")


def _form_of(request: WebRequest) -> list[tuple[str, str]]:
    """Return the parameters in the body. Raises `AWSError` for a body of anything else."""
    if not request.body:
        return []
    if request.method != "POST":
        raise AWSError("InvalidRequest", "A GET has no body: its parameters are in the query")
    kind = request.headers.get("content-type", _FORM).partition(";")[0].strip().lower()
    if kind != _FORM:
        raise AWSError("InvalidRequest", f"The body is of type {_FORM}, not {kind[:80]!r}")
    return pairs_of(request.body)


def _service_of(pairs: Iterable[tuple[str, str]]) -> str:
    version = next((value for name, value in pairs if name == "Version"), "")
    return _SERVICES.get(version, "ec2")


def _value(tree: Tree, name: str) -> str:
    value = tree.get(name, "")
    if not isinstance(value, str):
        raise AWSError("MalformedQueryString", f"{name} has one value, and no members")
    return value


def _endpoint(environ: Mapping[str, Any], request: WebRequest) -> str:
    host = request.headers.get("host", "")
    if not _is_host(host):
        host = f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    return f"{environ['wsgi.url_scheme']}://{host}{environ.get('SCRIPT_NAME', '')}/"


def _is_host(text: str) -> bool:
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError:
        return False
    return parts.hostname is not None and parts.netloc == text and port != 0
