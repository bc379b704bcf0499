"""`Actions`: which of a service's actions are carried out, and by which function.

A function's keyword parameters are the members of the action's input that it carries out, by
botocore's Python names (`instance_ids` for `InstanceIds`): what it does not name is refused, unless it
is listed as harmless. So the signature is the list of what is supported, and
`docs/compatibility.md` is made of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import attrs

from pycloud.aws.errors import AWSError
from pycloud.aws.models import service_model
from pycloud.aws.parameters import Tree
from pycloud.aws.reader import Read, Taken, reader_of
from pycloud.aws.writer import Write, writer_of

Answer = Mapping[str, Any] | None
"""What an action answers, by the members of its output; None where it has none."""
Handler = Callable[..., Answer]
ErrorCodes = Mapping[type[Any], str]
"""AWS's codes by the kind of pycloud's error."""

_DRY_RUN = "DryRun"
_INVALID = ("InvalidParameterValue", "MissingParameter")
"""EC2's words; IAM and STS have one for both ("Common errors", IAM API reference)."""


@attrs.frozen(slots=False)
class Action:
    """One action, carried out by `handler(call, **parameters)`."""

    service: str
    name: str
    handler: Handler
    codes: ErrorCodes
    """AWS's codes for errors of pycloud, where this action has its own."""
    harmless: Mapping[str, str]
    """Parameters that may be given though they change nothing here, with the reason."""
    taken: Taken

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The input's members that are carried out, and the handler's names for them. Raises
        `LookupError` if the handler has a parameter that the model does not.
        """
        from botocore import xform_name

        by_name = {xform_name(key): key for key in self._input_members()}
        names = list(inspect.signature(self.handler).parameters)[1:]
        return {by_name[name]: name for name in names}

    @cached_property
    def result_wrapper(self) -> str | None:
        """The element around the answer, where the protocol has one."""
        output = self._operation.output_shape
        return None if output is None else output.serialization.get("resultWrapper")

    def arguments(self, tree: Tree) -> tuple[dict[str, Any], bool]:
        """Return the handler's arguments, and whether the request is only to be checked
        (`DryRun`). Raises `AWSError`.
        """
        try:
            values = self._read(tree, "")
        except AWSError as error:
            if self.service == "ec2" or error.code not in _INVALID:
                raise
            raise AWSError("ValidationError", error.message) from None
        is_dry = bool(values.pop(_DRY_RUN, False))
        return {self.parameters[key]: value for key, value in values.items()}, is_dry

    def write(self, answer: Answer) -> str:
        """Return the XML of an answer, without the elements around it."""
        if self._write is None:
            return "<return>true</return>" if self.service == "ec2" else ""
        out: list[str] = []
        self._write(answer or {}, out)
        return "".join(out)

    @cached_property
    def _operation(self) -> Any:
        return service_model(self.service).operation_model(self.name)

    @cached_property
    def _read(self) -> Read:
        shape = self._operation.input_shape
        if shape is None:
            return _read_nothing
        carried = frozenset(self.parameters) | ({_DRY_RUN} & set(shape.members))
        taken = attrs.evolve(
            self.taken,
            members={**self.taken.members, shape.name: carried},
            harmless={**self.taken.harmless, shape.name: self.harmless},
        )
        return reader_of(shape, service_model(self.service).metadata["protocol"], taken)

    @cached_property
    def _write(self) -> Write | None:
        shape = self._operation.output_shape
        return None if shape is None else writer_of(shape)

    def _input_members(self) -> list[str]:
        shape = self._operation.input_shape
        return [] if shape is None else list(shape.members)


class Actions:
    """The actions of one service (`ec2`, `sts`, `iam`) that one module carries out."""

    def __init__(self, service: str, taken: Taken) -> None:
        self.service = service
        self.taken = taken
        self.by_name: dict[str, Action] = {}

    def action(
        self,
        name: str,
        *,
        codes: ErrorCodes | None = None,
        harmless: Mapping[str, str] | None = None,
    ) -> Callable[[Handler], Handler]:
        """Let the function that is decorated carry out the action `name`."""

        def register(handler: Handler) -> Handler:
            self.by_name[name] = Action(
                self.service, name, handler, codes or {}, harmless or {}, self.taken
            )
            return handler

        return register


def _read_nothing(node: Tree | str, _path: str) -> dict[str, Any]:
    for name in node:
        raise AWSError("UnknownParameter", f"The parameter {name} is not recognized")
    return {}
