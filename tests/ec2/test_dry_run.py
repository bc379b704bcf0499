"""DryRun: what is well asked would have been done, and is not ("DryRun", EC2 API reference: whether
one may is what is checked, and the parameters; ids and states are not).
"""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from pycloud.aws.actions import Action
from pycloud.aws.models import service_model
from pycloud.ec2.actions import ACTIONS
from tests.ec2.test_strangers import BY_STRANGERS, everything
from tests.ec2.things import Things, code_of

_DRY = {"DryRun": True}


def _takes(action: Action) -> bool:
    return "DryRun" in _input(action).members


def _required(action: Action) -> list[str]:
    optional = action.taken.optional.get(_input(action).name, ())
    return [name for name in _input(action).required_members if name not in optional]


def _input(action: Action) -> Any:
    return service_model("ec2").operation_model(action.name).input_shape


_ALL = [one for one in ACTIONS.values() if one.service == "ec2" and _takes(one)]
_DEMANDING = [pytest.param(one, id=one.name) for one in _ALL if _required(one)]


def test_the_owner_s_things_are_as_they_were(things: Things) -> None:
    before = everything(things)
    asked = 0
    for action in _ALL:
        for one in BY_STRANGERS[action.name]:
            _, code = things.outcome(action.name, {**one.parameters, **_DRY})
            assert code == "DryRunOperation", f"{action.name} {one.parameters}"
            asked += 1
    assert asked > 100
    assert everything(things) == before


def test_it_answers_412(things: Things) -> None:
    with pytest.raises(ClientError) as refused:
        things.ask("TerminateInstances", {"InstanceIds": ["{running}"], **_DRY})
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert code_of(refused) == "DryRunOperation"
    assert "would have succeeded" in str(refused.value)


@pytest.mark.parametrize("action", _DEMANDING)
def test_what_must_be_given_must_be_given(things: Things, action: Action) -> None:
    for name in _required(action):
        asked = {**BY_STRANGERS[action.name][0].parameters, **_DRY}
        asked.pop(name, None)
        _, code = things.outcome(action.name, asked)
        assert code == "MissingParameter", f"{action.name} without {name}"


def test_values_are_checked(things: Things) -> None:
    asked = {"MinCount": 1, "MaxCount": 1, "ImageId": "{emi}"}
    for wrong, code in (
        ({"MaxCount": "many"}, "InvalidParameterValue"),
        ({"InstanceInitiatedShutdownBehavior": "burn"}, "InvalidParameterValue"),
        ({"PrivateIpAddress": "10.11.0.9"}, "UnsupportedOperation"),
    ):
        assert things.outcome("RunInstances", {**asked, **wrong, **_DRY}) == (None, code)


def test_false_is_no_dry_run(things: Things) -> None:
    answer = things.ask("DescribeRegions", {"DryRun": False})
    assert answer["Regions"]
