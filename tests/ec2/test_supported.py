"""What is declared as supported is what is carried out."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pycloud.ec2
from pycloud.aws.actions import Action
from pycloud.aws.models import service_model
from pycloud.aws.reader import Taken
from pycloud.ec2.actions import ACTIONS
from pycloud.ec2.taken import EC2

_ALL = [pytest.param(action, id=f"{action.service}-{action.name}") for action in ACTIONS.values()]
_SOURCES = "\n".join(path.read_text() for path in Path(pycloud.ec2.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("action", _ALL)
def test_every_parameter_is_one_of_the_model_and_is_used(action: Action) -> None:
    assert action.parameters.keys().isdisjoint(action.harmless)
    body = ast.parse(inspect.getsource(action.handler))
    loaded = {node.id for node in ast.walk(body) if isinstance(node, ast.Name)}
    for name in action.parameters.values():
        assert name in loaded, f"{action.name} takes {name}, and passes it over"


@pytest.mark.parametrize("action", _ALL)
def test_what_is_harmless_is_in_the_model_and_has_a_reason(action: Action) -> None:
    shape = service_model(action.service).operation_model(action.name).input_shape
    for member, reason in action.harmless.items():
        assert member in shape.members
        assert len(reason) > 10
        inner = shape.members[member]
        if inner.type_name == "structure":
            assert EC2.harmless.get(inner.name), f"{action.name} refuses whatever is in {member}"


@pytest.mark.parametrize("action", _ALL)
def test_what_the_model_requires_is_taken(action: Action) -> None:
    shape = service_model(action.service).operation_model(action.name).input_shape
    if shape is not None:
        assert {*shape.required_members} <= {*action.parameters}


@pytest.mark.parametrize("name", sorted(EC2.optional))
def test_what_old_clients_leave_out_is_required_by_the_model_and_has_a_default(name: str) -> None:
    [action] = [
        action
        for (service, _), action in ACTIONS.items()
        if service == "ec2"
        and service_model("ec2").operation_model(action.name).input_shape.name == name
    ]
    taken = inspect.signature(action.handler).parameters
    for member in EC2.optional[name]:
        assert member in service_model("ec2").shape_for(name).required_members
        assert taken[action.parameters[member]].default is not inspect.Parameter.empty


@pytest.mark.parametrize("action", _ALL)
def test_of_every_structure_that_is_taken_something_is_taken(action: Action) -> None:
    shape = service_model(action.service).operation_model(action.name).input_shape
    for member in action.parameters:
        for inner in _structures(shape.members[member], action.taken):
            assert inner in action.taken.members, f"{action.name} takes an empty {inner}"


def _structures(shape: Any, taken: Taken) -> Iterator[str]:
    if shape.type_name == "list":
        yield from _structures(shape.member, taken)
    if shape.type_name == "structure":
        yield shape.name
        for member in taken.members.get(shape.name, ()):
            yield from _structures(shape.members[member], taken)


@pytest.mark.parametrize("name", sorted(EC2.members))
def test_members_of_structures_are_in_the_model_and_are_read(name: str) -> None:
    shape = service_model("ec2").shape_for(name)
    harmless = EC2.harmless.get(name, {})
    for member in (*EC2.members[name], *harmless):
        assert member in shape.members
    assert EC2.members[name].isdisjoint(harmless)
    for member in EC2.members[name]:
        read = f'"{member}"' in _SOURCES
        assert read, f"{name}.{member} is taken, and nothing reads it"
