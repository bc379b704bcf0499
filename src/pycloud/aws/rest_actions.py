"""`RestActions`: which of S3's actions are carried out, and by which function.

`takes` lists the members of the action's input that the function carries out, by AWS's names: one
that was sent and is not listed is refused, unless it is harmless. `docs/compatibility.md` is made of
it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final

import attrs

from pycloud.aws.errors import AWSError
from pycloud.aws.models import service_model
from pycloud.aws.rest_reader import RestInput, input_of
from pycloud.aws.rest_writer import RestOutput, output_of

RestHandler = Callable[..., Any]

COMMON: Final = frozenset({"Bucket", "Key", "ExpectedBucketOwner", "ContentLength"})
"""What every action is asked alike, and is seen to before it is carried out."""


@attrs.frozen(slots=False)
class RestAction:
    """One action, carried out by `handler(call, given)`."""

    name: str
    handler: RestHandler
    takes: frozenset[str]
    harmless: Mapping[str, str]
    """Members that may be given though they change nothing here, with the reason."""
    root: str
    namespace: str

    @cached_property
    def input(self) -> RestInput:
        """How a request is read."""
        return input_of(self._operation)

    @cached_property
    def output(self) -> RestOutput:
        """How an answer is written."""
        return output_of(self._operation, self.root, self.namespace)

    @cached_property
    def status(self) -> int:
        """The status of an answer, where the action says no other."""
        return int(self._operation.http.get("responseCode", 200))

    @property
    def streams(self) -> bool:
        """Whether the body is the bytes of an object."""
        return self.input.payload_type == "blob"

    def read(self, headers: Mapping[str, str], query: Mapping[str, str]) -> dict[str, Any]:
        """Return what headers and query give, all of which is carried out. Raises `AWSError`."""
        values = self.input.read(headers, query)
        for key in values:
            if key not in self._known:
                raise AWSError(
                    "NotImplemented",
                    "A header or parameter you provided implies functionality that is not "
                    f"implemented: {key}",
                )
        return values

    @cached_property
    def _known(self) -> frozenset[str]:
        return self.takes | COMMON | self.harmless.keys()

    @cached_property
    def _operation(self) -> Any:
        return service_model("s3").operation_model(self.name)


class RestActions:
    """The actions that one module carries out."""

    def __init__(self, harmless: Mapping[str, str], namespace: str) -> None:
        self.by_name: dict[str, RestAction] = {}
        self._harmless = harmless
        self._namespace = namespace

    def action(
        self,
        name: str,
        *takes: str,
        root: str = "",
        harmless: Mapping[str, str] | None = None,
    ) -> Callable[[RestHandler], RestHandler]:
        """Let the function that is decorated carry out the action `name`; the answer's document has
        the name `root`.
        """

        def register(handler: RestHandler) -> RestHandler:
            self.by_name[name] = RestAction(
                name,
                handler,
                frozenset(takes),
                {**self._harmless, **(harmless or {})},
                root or f"{name}Result",
                self._namespace,
            )
            return handler

        return register
