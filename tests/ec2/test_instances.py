"""Instances after their launch: what the actions change, and what DescribeInstances tells then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.ec2.conftest import Served
from tests.ec2.things import NOWHERE, Refusal, Things, by_name, code_of

_CHANGES = (
    "MonitorInstances",
    "RebootInstances",
    "StartInstances",
    "StopInstances",
    "TerminateInstances",
    "UnmonitorInstances",
)
_IDS = (*_CHANGES, "DescribeInstances", "DescribeInstanceStatus")
_WRONG = "IncorrectInstanceState"
REFUSALS = [
    *(
        Refusal(action, {"InstanceIds": ids}, code)
        for action in _IDS
        for ids, code in (
            (["i-web"], "InvalidInstanceID.Malformed"),
            (["emi-12345678"], "InvalidInstanceID.Malformed"),
            ([f"i-{NOWHERE}"], "InvalidInstanceID.NotFound"),
            (["{running}", f"i-{NOWHERE}"], "InvalidInstanceID.NotFound"),
        )
    ),
    *(Refusal(action, {}, "MissingParameter") for action in _CHANGES),
    *(
        Refusal(action, parameters, code)
        for action in ("DescribeInstances", "DescribeInstanceStatus")
        for parameters, code in (
            ({"MaxResults": 4}, "InvalidParameterValue"),
            ({"MaxResults": 1001}, "InvalidParameterValue"),
            ({"InstanceIds": ["{running}"], "MaxResults": 5}, "InvalidParameterCombination"),
            ({"NextToken": "soon"}, "InvalidNextToken"),
            ({"Filters": [{"Name": "colour", "Values": ["red"]}]}, "InvalidParameterValue"),
        )
    ),
    Refusal("RebootInstances", {"InstanceIds": ["{stopped}"]}, _WRONG),
    Refusal("RebootInstances", {"InstanceIds": ["{terminated}"]}, _WRONG),
    Refusal("StartInstances", {"InstanceIds": ["{terminated}"]}, _WRONG),
    Refusal("StopInstances", {"InstanceIds": ["{terminated}"]}, _WRONG),
    Refusal("MonitorInstances", {"InstanceIds": ["{terminated}"]}, _WRONG),
    Refusal("UnmonitorInstances", {"InstanceIds": ["{terminated}"]}, _WRONG),
    Refusal(
        "StopInstances",
        {"InstanceIds": ["{running}"], "Hibernate": True},
        "UnsupportedHibernationConfiguration",
    ),
    Refusal("TerminateInstances", {"InstanceIds": ["{protected}"]}, "OperationNotPermitted"),
    Refusal(
        "TerminateInstances", {"InstanceIds": ["{running}", "{protected}"]}, "OperationNotPermitted"
    ),
]


@by_name(REFUSALS)
def test_refused(things: Things, refusal: Refusal) -> None:
    things.check(refusal)


@pytest.fixture
def run(shared: Served, api: Any, emi: str) -> Callable[..., Any]:
    """Launches one instance, lets it run, and returns its id."""

    def run(**asked: Any) -> str:
        made = api.run_instances(ImageId=emi, MinCount=1, MaxCount=1, **asked)["Instances"][0]
        shared.world.settle()
        return str(made["InstanceId"])

    return run


def _shown(api: Any, id_: str) -> dict[str, Any]:
    [reservation] = api.describe_instances(InstanceIds=[id_])["Reservations"]
    [shown] = reservation["Instances"]
    return dict(shown)


def test_from_running_to_terminated(shared: Served, api: Any, run: Callable[..., Any]) -> None:
    id_ = run()
    for verb, key, before, now, then in (
        ("stop", "StoppingInstances", "running", "stopping", "stopped"),
        ("start", "StartingInstances", "stopped", "pending", "running"),
        ("terminate", "TerminatingInstances", "running", "shutting-down", "terminated"),
    ):
        [change] = getattr(api, f"{verb}_instances")(InstanceIds=[id_])[key]
        assert change["InstanceId"] == id_
        assert change["PreviousState"]["Name"] == before
        assert change["CurrentState"]["Name"] == now
        shared.world.settle()
        assert _shown(api, id_)["State"]["Name"] == then


def test_what_is_asked_twice_is_done_once(
    shared: Served, api: Any, run: Callable[..., Any]
) -> None:
    id_ = run()
    api.start_instances(InstanceIds=[id_])
    for verb, key, state in (
        ("stop", "StoppingInstances", "stopped"),
        ("terminate", "TerminatingInstances", "terminated"),
    ):
        getattr(api, f"{verb}_instances")(InstanceIds=[id_])
        shared.world.settle()
        [again] = getattr(api, f"{verb}_instances")(InstanceIds=[id_])[key]
        assert again["PreviousState"]["Name"] == again["CurrentState"]["Name"] == state


def test_all_are_changed_or_none(shared: Served, api: Any, run: Callable[..., Any]) -> None:
    first, second = run(), run()
    api.terminate_instances(InstanceIds=[second])
    shared.world.settle()
    with pytest.raises(ClientError) as refused:
        api.stop_instances(InstanceIds=[first, second])
    assert code_of(refused) == "IncorrectInstanceState"
    assert _shown(api, first)["State"]["Name"] == "running"
    with pytest.raises(ClientError) as refused:
        api.terminate_instances(InstanceIds=[first, f"i-{NOWHERE}"])
    assert code_of(refused) == "InvalidInstanceID.NotFound"
    assert _shown(api, first)["State"]["Name"] == "running"


def test_a_terminated_instance_has_nothing_any_more(
    shared: Served, api: Any, run: Callable[..., Any]
) -> None:
    group = api.create_security_group(GroupName="short-lived", Description="x")["GroupId"]
    id_ = run(SecurityGroupIds=[group])
    before = _shown(api, id_)
    assert before["SecurityGroups"] == [{"GroupId": group, "GroupName": "short-lived"}]
    assert before["PublicDnsName"] == before["PrivateIpAddress"]
    with pytest.raises(ClientError) as refused:
        api.delete_security_group(GroupId=group)
    assert code_of(refused) == "DependencyViolation"
    api.terminate_instances(InstanceIds=[id_])
    shared.world.settle()
    gone = _shown(api, id_)
    assert gone["SecurityGroups"] == gone["NetworkInterfaces"] == []
    assert {"VpcId", "SubnetId", "PrivateIpAddress", "PublicIpAddress"}.isdisjoint(gone)
    assert gone["PrivateDnsName"] == gone["PublicDnsName"] == ""
    assert gone["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    api.delete_security_group(GroupId=group)


def test_an_hour_later_nobody_knows_of_it(
    shared: Served, api: Any, run: Callable[..., Any]
) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "old"}]}]
    id_ = run(TagSpecifications=tags)
    api.terminate_instances(InstanceIds=[id_])
    shared.world.settle()
    shared.world.clock.advance(2 * 3600)
    shared.world.cloud.tick()
    with pytest.raises(ClientError) as refused:
        api.describe_instances(InstanceIds=[id_])
    assert code_of(refused) == "InvalidInstanceID.NotFound"
    filters = [{"Name": "resource-id", "Values": [id_]}]
    assert api.describe_tags(Filters=filters)["Tags"] == []


def test_a_protected_instance_that_is_gone_is_terminated_again(
    shared: Served, api: Any, run: Callable[..., Any]
) -> None:
    id_ = run(DisableApiTermination=True)
    [node] = [one.node for one in shared.world.cloud.describe_instances() if one.id == id_]
    shared.world.cloud.scheduler.maintain(node)
    shared.world.cloud.leave(node, lost=True)
    [change] = api.terminate_instances(InstanceIds=[id_])["TerminatingInstances"]
    assert change["CurrentState"]["Name"] == "terminated"
    shown = _shown(api, id_)
    assert shown["StateReason"]["Code"] == "Server.InternalError"
    assert "lost" in shown["StateTransitionReason"]
    shared.world.cloud.join(shared.world.node(node))
    shared.world.cloud.tick()


def test_a_reboot_is_no_change_of_state(shared: Served, api: Any, run: Callable[..., Any]) -> None:
    id_ = run()
    api.reboot_instances(InstanceIds=[id_])
    shared.world.settle()
    assert _shown(api, id_)["State"]["Name"] == "running"


def test_monitoring(api: Any, run: Callable[..., Any]) -> None:
    id_ = run()
    for verb, state in (("monitor", "enabled"), ("unmonitor", "disabled")):
        [told] = getattr(api, f"{verb}_instances")(InstanceIds=[id_])["InstanceMonitorings"]
        assert told == {"InstanceId": id_, "Monitoring": {"State": state}}
        assert _shown(api, id_)["Monitoring"] == {"State": state}


def test_digits_of_ids_are_upper_case_too_as_old_tools_have_them(things: Things) -> None:
    id_ = things.ids["running"]
    found = things.ask("DescribeInstances", {"InstanceIds": [f"i-{id_[2:].upper()}"]})
    assert found["Reservations"][0]["Instances"][0]["InstanceId"] == id_


# DescribeInstanceStatus


def test_status_is_of_running_instances(things: Things) -> None:
    def shown(**asked: Any) -> dict[str, str]:
        statuses = things.ask("DescribeInstanceStatus", asked)["InstanceStatuses"]
        return {one["InstanceId"]: one["InstanceStatus"]["Status"] for one in statuses}

    ids = things.ids
    ok = {ids["running"]: "ok", ids["protected"]: "ok"}
    assert shown() == ok
    others = {ids["stopped"]: "not-applicable", ids["terminated"]: "not-applicable"}
    assert shown(IncludeAllInstances=True) == ok | others
    assert shown(InstanceIds=["{stopped}"]) == {}
    assert shown(InstanceIds=["{stopped}"], IncludeAllInstances=True) == {
        ids["stopped"]: "not-applicable"
    }


def test_what_nobody_hears_of_still_runs_with_insufficient_data(served: Served, ec2: Any) -> None:
    emi = served.world.images.machine.id
    made = ec2.run_instances(ImageId=emi, MinCount=1, MaxCount=1)["Instances"][0]
    served.world.settle()
    for host in served.world.hosts.values():
        host.answers = False
    for _ in range(4):
        served.world.clock.advance(seconds=30)
        served.world.cloud.tick()
    assert _shown(ec2, made["InstanceId"])["State"] == {"Code": 16, "Name": "running"}
    [status] = ec2.describe_instance_status()["InstanceStatuses"]
    assert status["InstanceStatus"]["Status"] == "insufficient-data"
