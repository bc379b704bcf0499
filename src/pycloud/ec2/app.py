"""`EC2App`: a WSGI callable that speaks EC2, and of STS and IAM what tools call first."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from pycloud import limits
from pycloud.aws.actions import Action, ErrorCodes
from pycloud.aws.callers import Caller, Keys
from pycloud.aws.documents import answer_document, error_document
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
        start_response(f"{status} {_phrase(status)}", headers)
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
        except PyCloudError as error:
            refusal = error_of(error, self._codes)
        except Exception:  # noqa: BLE001 - whatever it is, the client must get an answer
            _log.exception("%s %s failed", self.id, self.action)
            refusal = AWSError("InternalError", "An internal error has occurred")
        self.outcome = refusal.code
        return refusal.status, error_document(self._service, refusal, self.id)

    def _carry_out(self) -> bytes:
        request = read_request(self._environ, most_bytes=limits.QUERY_BODY_BYTES)
        if request.method not in ("GET", "POST"):
            raise AWSError("MethodNotAllowed", f"The method is GET or POST, not {request.method}")
        pairs = pairs_of(request.query.encode("latin-1"))
        form = pairs_of(request.body) if request.method == "POST" else []
        self.caller = caller_of(request, pairs, form, self._keys, self._now)
        tree = tree_of([*pairs, *form])
        version = _value(tree, "Version")
        self._service = _SERVICES.get(version, "ec2")
        action = self._find(_value(tree, "Action"))
        arguments, is_dry = action.arguments(
            {name: value for name, value in tree.items() if name not in _COMMON}
        )
        if is_dry:
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
            raise AWSError("UnsupportedOperation", f"This cloud does not carry out {name}")
        raise AWSError(
            "InvalidAction", f"The action {name[:80]} is not valid for this web service."
        )

    @property
    def _codes(self) -> ErrorCodes:
        action = ACTIONS.get((self._service, self.action))
        return {} if action is None else action.codes


def _value(tree: Tree, name: str) -> str:
    value = tree.get(name, "")
    if not isinstance(value, str):
        raise AWSError("MalformedQueryString", f"{name} has one value, and no members")
    return value


def _endpoint(environ: Mapping[str, Any], request: WebRequest) -> str:
    host = request.headers.get("host") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    return f"{environ['wsgi.url_scheme']}://{host}{environ.get('SCRIPT_NAME', '')}/"


def _phrase(status: int) -> str:
    return {200: "OK", 404: "Not Found", 500: "Internal Server Error"}.get(status, "Refused")
