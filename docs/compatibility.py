"""Writes `compatibility.md`: which actions are carried out, and what of each is not.

    python docs/compatibility.py

All of it is read from the code that carries them out, so nothing here can be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import botocore

from pycloud.aws.actions import Action
from pycloud.aws.models import service_model
from pycloud.aws.rest_actions import COMMON, RestAction
from pycloud.ec2.actions import ACTIONS
from pycloud.s3.actions import ACTIONS as S3_ACTIONS

PAGE = Path(__file__).with_name("compatibility.md")
COMMAND = "python docs/compatibility.py"

_TITLES = {"ec2": "EC2", "sts": "STS", "iam": "IAM, with what Eucalyptus added to it"}
_DRY_RUN = "DryRun"


def page() -> str:
    """Return the whole page."""
    services = (line for name in _TITLES for line in _service(name))
    return "\n".join([*_introduction(), *services, *_object_store()])


def _introduction() -> Iterator[str]:
    yield "# Compatibility"
    yield ""
    yield f"<!-- Written by `{COMMAND}`; what is changed here by hand is lost. -->"
    yield ""
    yield "What AWS's tools may ask of pycloud, and what they may not. Names are those of boto3 and of"
    yield f"the models in botocore {botocore.__version__}; old tools call the same things by the names"
    yield "of their time."
    yield ""
    yield "Nothing that is sent is passed over in silence: an action or a parameter that is not"
    yield "carried out is refused with `UnsupportedOperation`, one that AWS does not have either with"
    yield "`InvalidAction` or `UnknownParameter`. Only what changes nothing here is taken and dropped;"
    yield "it is listed with the reason. `DryRun` is carried out wherever AWS has it."
    yield ""


def _service(name: str) -> Iterator[str]:
    known = sorted(service_model(name).operation_names)
    actions = {action: ACTIONS[name, action] for action in known if (name, action) in ACTIONS}
    missing = [action for action in known if action not in actions]
    yield f"## {_TITLES[name]}"
    yield ""
    yield f"{len(actions)} of {len(known)} actions are carried out."
    yield ""
    whole = [name for name, action in actions.items() if not (_refused(action) or action.harmless)]
    yield f"With every parameter: {_names(whole)}."
    yield ""
    for action_name, action in actions.items():
        if action_name not in whole:
            yield from _about(action_name, _refused(action), action.harmless)
    yield from _structures(name, actions.values())
    yield f"### Not carried out: {_TITLES[name].partition(',')[0]}"
    yield ""
    yield f"{_names(missing)}."
    yield ""


def _object_store() -> Iterator[str]:
    known = sorted(service_model("s3").operation_names)
    missing = [name for name in known if name not in S3_ACTIONS]
    refused = {name: _refused_of(action) for name, action in sorted(S3_ACTIONS.items())}
    harmless = {key: why for action in S3_ACTIONS.values() for key, why in action.harmless.items()}
    yield "## S3"
    yield ""
    yield f"{len(S3_ACTIONS)} of {len(known)} actions are carried out, and browsers' uploads. What is not"
    yield "carried out is refused with `NotImplemented`; parameters that S3 does not know either are"
    yield "passed over, as S3 does."
    yield ""
    yield f"With every member: {_names(name for name, members in refused.items() if not members)}."
    yield ""
    yield "Without effect, wherever they are sent:"
    yield ""
    yield from (f"- `{key}`, because {why}." for key, why in sorted(harmless.items()))
    yield ""
    for name, members in refused.items():
        if members:
            yield from _about(name, members, {})
    yield "### Not carried out: S3"
    yield ""
    yield f"{_names(missing)}."
    yield ""


def _refused_of(action: RestAction) -> list[str]:
    shape = service_model("s3").operation_model(action.name).input_shape
    return sorted(
        key
        for key, member in shape.members.items()
        if "location" in member.serialization
        and key not in action.takes | action.harmless.keys() | COMMON
    )


def _about(name: str, refused: Iterable[str], harmless: Any, level: str = "###") -> Iterator[str]:
    yield f"{level} {name}"
    yield ""
    if refused:
        yield f"- Refused: {_names(refused)}."
    for member, reason in sorted(harmless.items()):
        yield f"- Without effect: `{member}`, because {reason}."
    yield ""


def _structures(service: str, actions: Iterable[Action]) -> Iterator[str]:
    found: dict[str, Any] = {}
    for action in actions:
        shape = service_model(service).operation_model(action.name).input_shape
        for key in action.parameters:
            _collect(shape.members[key], action, found)
    limited = {
        name: (refused, harmless)
        for name, (shape, action) in sorted(found.items())
        for harmless in [action.taken.harmless.get(name, {})]
        for refused in [sorted({*shape.members} - {*action.taken.members[name], *harmless})]
        if refused or harmless
    }
    if limited:
        yield "### Structures"
        yield ""
        yield "What is in them, wherever they are sent."
        yield ""
    for name, (refused, harmless) in limited.items():
        yield from _about(name, refused, harmless, "####")


def _collect(shape: Any, action: Action, found: dict[str, Any]) -> None:
    """Find the structures in what an action takes."""
    if shape.type_name == "list":
        _collect(shape.member, action, found)
    elif shape.type_name == "structure" and shape.name not in found:
        found[shape.name] = (shape, action)
        for key in action.taken.members[shape.name]:
            _collect(shape.members[key], action, found)


def _refused(action: Action) -> list[str]:
    shape = service_model(action.service).operation_model(action.name).input_shape
    members = () if shape is None else shape.members
    return sorted({*members} - {*action.parameters, *action.harmless, _DRY_RUN})


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
