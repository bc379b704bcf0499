"""Launch templates and their versions."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.ec2.things import NOWHERE, Refusal, Things, by_name, code_of, tags

_RED = [{"Name": "colour", "Values": ["red"]}]
_DATA = {"LaunchTemplateData": {"InstanceType": "m1.small"}}
_MANY_TAGS = [{"ResourceType": "launch-template", "Tags": [{"Key": f"k{n}"} for n in range(51)]}]
_OF_ONE: dict[str, dict[str, Any]] = {
    "CreateLaunchTemplateVersion": _DATA,
    "DescribeLaunchTemplateVersions": {},
    "ModifyLaunchTemplate": {"DefaultVersion": "1"},
    "DeleteLaunchTemplate": {},
    "DeleteLaunchTemplateVersions": {"Versions": ["2"]},
}
_WEB = {"LaunchTemplateName": "web"}


def _create(code: str, **asked: Any) -> Refusal:
    return Refusal("CreateLaunchTemplate", {"LaunchTemplateName": "new", **_DATA, **asked}, code)


REFUSALS = [
    *(
        Refusal(action, {**others, **name}, code)
        for action, others in _OF_ONE.items()
        for name, code in (
            ({}, "MissingParameter"),
            ({"LaunchTemplateId": "web"}, "InvalidLaunchTemplateId.Malformed"),
            ({"LaunchTemplateId": f"lt-{NOWHERE}"}, "InvalidLaunchTemplateId.NotFound"),
            ({"LaunchTemplateName": "nobodys"}, "InvalidLaunchTemplateName.NotFoundException"),
            ({"LaunchTemplateId": "{template}", **_WEB}, "InvalidParameterCombination"),
        )
    ),
    Refusal("CreateLaunchTemplate", _DATA, "MissingParameter"),
    Refusal("CreateLaunchTemplate", {"LaunchTemplateName": "new"}, "MissingParameter"),
    _create("InvalidLaunchTemplateName.AlreadyExistsException", LaunchTemplateName="web"),
    _create("InvalidParameterValue", LaunchTemplateName="a b c"),
    _create("InvalidParameterValue", VersionDescription="x" * 256),
    _create("TagLimitExceeded", TagSpecifications=_MANY_TAGS),
    _create(
        "UnsupportedOperation", LaunchTemplateData={"BlockDeviceMappings": [{"DeviceName": "x"}]}
    ),
    _create(
        "InvalidParameterValue", LaunchTemplateData={"MetadataOptions": {"HttpTokens": "perhaps"}}
    ),
    _create("InvalidParameterValue", ClientToken="x" * 129),
    Refusal(
        "CreateLaunchTemplateVersion",
        {**_WEB, **_DATA, "ClientToken": "second"},
        "IdempotentParameterMismatch",
    ),
    Refusal("CreateLaunchTemplateVersion", _WEB, "MissingParameter"),
    Refusal(
        "CreateLaunchTemplateVersion",
        {**_WEB, **_DATA, "SourceVersion": "9"},
        "InvalidLaunchTemplateId.VersionNotFound",
    ),
    Refusal(
        "CreateLaunchTemplateVersion",
        {**_WEB, **_DATA, "SourceVersion": "first"},
        "InvalidParameterValue",
    ),
    Refusal(
        "CreateLaunchTemplateVersion",
        {**_WEB, **_DATA, "VersionDescription": "x" * 256},
        "InvalidParameterValue",
    ),
    Refusal(
        "DescribeLaunchTemplates",
        {"LaunchTemplateIds": ["web"]},
        "InvalidLaunchTemplateId.Malformed",
    ),
    Refusal(
        "DescribeLaunchTemplates",
        {"LaunchTemplateIds": [f"lt-{NOWHERE}"]},
        "InvalidLaunchTemplateId.NotFound",
    ),
    Refusal(
        "DescribeLaunchTemplates",
        {"LaunchTemplateNames": ["web", "nobodys"]},
        "InvalidLaunchTemplateName.NotFoundException",
    ),
    Refusal(
        "DescribeLaunchTemplates",
        {"LaunchTemplateIds": ["{template}"], "MaxResults": 5},
        "InvalidParameterCombination",
    ),
    *(
        Refusal(action, {**named, **asked}, code)
        for action, named in (
            ("DescribeLaunchTemplates", {}),
            ("DescribeLaunchTemplateVersions", _WEB),
        )
        for asked, code in (
            ({"MaxResults": 201}, "InvalidParameterValue"),
            ({"NextToken": "soon"}, "InvalidNextToken"),
            ({"Filters": _RED}, "InvalidParameterValue"),
        )
    ),
    Refusal(
        "DescribeLaunchTemplateVersions",
        {**_WEB, "Versions": ["9"]},
        "InvalidLaunchTemplateId.VersionNotFound",
    ),
    Refusal(
        "DescribeLaunchTemplateVersions", {**_WEB, "MinVersion": "one"}, "InvalidParameterValue"
    ),
    Refusal(
        "DescribeLaunchTemplateVersions", {**_WEB, "Versions": ["one"]}, "InvalidParameterValue"
    ),
    Refusal("DescribeLaunchTemplateVersions", {"Versions": ["1"]}, "MissingParameter"),
    Refusal("ModifyLaunchTemplate", _WEB, "MissingParameter"),
    Refusal(
        "ModifyLaunchTemplate",
        {**_WEB, "DefaultVersion": "9"},
        "InvalidLaunchTemplateId.VersionNotFound",
    ),
    Refusal("ModifyLaunchTemplate", {**_WEB, "DefaultVersion": "one"}, "InvalidParameterValue"),
    Refusal("DeleteLaunchTemplateVersions", _WEB, "MissingParameter"),
]


@by_name(REFUSALS)
def test_refused(things: Things, refusal: Refusal) -> None:
    things.check(refusal)
    [web] = things.ask("DescribeLaunchTemplates", {})["LaunchTemplates"]
    assert (web["LatestVersionNumber"], web["DefaultVersionNumber"]) == (2, 1)


def _numbers(api: Any, **asked: Any) -> list[int]:
    found = api.describe_launch_template_versions(**asked)["LaunchTemplateVersions"]
    return [one["VersionNumber"] for one in found]


def test_from_the_first_version_to_the_end(api: Any) -> None:
    made = api.create_launch_template(
        LaunchTemplateName="life",
        VersionDescription="the first",
        LaunchTemplateData={"InstanceType": "m1.small", "KeyName": "one"},
        **tags("launch-template"),
    )["LaunchTemplate"]
    id_ = made["LaunchTemplateId"]
    [shown] = api.describe_launch_templates(LaunchTemplateNames=["life"])["LaunchTemplates"]
    assert shown == made
    assert shown["Tags"] == [{"Key": "made", "Value": "here"}]
    second = api.create_launch_template_version(
        LaunchTemplateId=id_,
        SourceVersion="1",
        VersionDescription="the second",
        LaunchTemplateData={"InstanceType": "m1.large"},
    )["LaunchTemplateVersion"]
    assert second["LaunchTemplateData"] == {"InstanceType": "m1.large", "KeyName": "one"}
    assert second["VersionDescription"] == "the second"
    third = api.create_launch_template_version(
        LaunchTemplateId=id_, LaunchTemplateData={"InstanceType": "m1.large"}
    )["LaunchTemplateVersion"]
    assert third["LaunchTemplateData"] == {"InstanceType": "m1.large"}
    changed = api.modify_launch_template(LaunchTemplateId=id_, DefaultVersion="2")
    assert changed["LaunchTemplate"]["DefaultVersionNumber"] == 2
    gone = api.delete_launch_template(LaunchTemplateId=id_)["LaunchTemplate"]
    assert (gone["LaunchTemplateId"], gone["LatestVersionNumber"]) == (id_, 3)
    with pytest.raises(ClientError) as refused:
        api.describe_launch_templates(LaunchTemplateIds=[id_])
    assert code_of(refused) == "InvalidLaunchTemplateId.NotFound"
    filters = [{"Name": "resource-id", "Values": [id_]}]
    assert api.describe_tags(Filters=filters)["Tags"] == []


@pytest.fixture(scope="module")
def four(api: Any) -> str:
    """A template with versions 1 to 4, of which 2 counts."""
    api.create_launch_template(LaunchTemplateName="four", **_DATA)
    for _ in range(3):
        api.create_launch_template_version(LaunchTemplateName="four", **_DATA)
    api.modify_launch_template(LaunchTemplateName="four", DefaultVersion="2")
    return "four"


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({}, [1, 2, 3, 4]),
        ({"Versions": ["3", "1"]}, [1, 3]),
        ({"Versions": ["$Default", "$Latest"]}, [2, 4]),
        ({"Versions": ["2", "$Default"]}, [2]),
        ({"MinVersion": "2"}, [2, 3, 4]),
        ({"MaxVersion": "2"}, [1, 2]),
        ({"MinVersion": "2", "MaxVersion": "3"}, [2, 3]),
        ({"Filters": [{"Name": "is-default-version", "Values": ["true"]}]}, [2]),
    ],
)
def test_which_versions(api: Any, four: str, asked: Any, numbers: list[int]) -> None:
    assert _numbers(api, LaunchTemplateName=four, **asked) == numbers


def test_the_versions_that_count_of_all_templates(api: Any, four: str) -> None:
    api.create_launch_template(LaunchTemplateName="another", **_DATA)
    found = api.describe_launch_template_versions(Versions=["$Latest", "$Default"])
    numbers = {
        (one["LaunchTemplateName"], one["VersionNumber"]) for one in found["LaunchTemplateVersions"]
    }
    assert numbers == {("four", 2), ("four", 4), ("another", 1)}


def test_versions_that_can_t_be_deleted_are_told(api: Any) -> None:
    api.create_launch_template(LaunchTemplateName="less", **_DATA)
    api.create_launch_template_version(LaunchTemplateName="less", **_DATA)
    told = api.delete_launch_template_versions(
        LaunchTemplateName="less", Versions=["1", "2", "3", "x"]
    )
    done = told["SuccessfullyDeletedLaunchTemplateVersions"]
    failed = told["UnsuccessfullyDeletedLaunchTemplateVersions"]
    assert [one["VersionNumber"] for one in done] == [2]
    assert {one["VersionNumber"]: one["ResponseError"]["Code"] for one in failed} == {
        1: "unexpectedError",
        3: "launchTemplateVersionDoesNotExist",
        0: "invalidParameterValue",
    }
    assert _numbers(api, LaunchTemplateName="less") == [1]
    made = api.create_launch_template_version(LaunchTemplateName="less", **_DATA)
    assert made["LaunchTemplateVersion"]["VersionNumber"] == 3  # a number is not given twice


def test_whatever_a_template_can_hold_is_told_as_it_was_given(api: Any) -> None:
    data = {
        "ImageId": "emi-12345678",
        "InstanceType": "m1.small",
        "KeyName": "k",
        "UserData": "aGVsbG8=",
        "Monitoring": {"Enabled": True},
        "Placement": {"AvailabilityZone": "cluster01", "GroupName": "g", "PartitionNumber": 2},
        "SecurityGroupIds": ["sg-12345678"],
        "SecurityGroups": ["web"],
        "DisableApiTermination": True,
        "DisableApiStop": False,
        "InstanceInitiatedShutdownBehavior": "terminate",
        "KernelId": "eki-12345678",
        "RamDiskId": "eri-12345678",
        "EnclaveOptions": {"Enabled": False},
        "HibernationOptions": {"Configured": False},
        "MetadataOptions": {
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 2,
            "HttpEndpoint": "enabled",
        },
        "NetworkInterfaces": [{"DeviceIndex": 0, "Groups": ["sg-12345678"]}],
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}],
    }
    api.create_launch_template(LaunchTemplateName="whole", LaunchTemplateData=data)
    [told] = api.describe_launch_template_versions(LaunchTemplateName="whole")[
        "LaunchTemplateVersions"
    ]
    assert told["LaunchTemplateData"] == data


def test_the_same_token_makes_one_template(api: Any) -> None:
    asked = {"LaunchTemplateName": "once", "ClientToken": "t1", **_DATA, **tags("launch-template")}
    first = api.create_launch_template(**asked)["LaunchTemplate"]
    assert api.create_launch_template(**asked)["LaunchTemplate"] == first
    for other in (
        {"ClientToken": "t2"},
        {"LaunchTemplateData": {"InstanceType": "m1.large"}},
    ):
        with pytest.raises(ClientError) as refused:
            api.create_launch_template(**asked | other)
        assert code_of(refused) == "InvalidLaunchTemplateName.AlreadyExistsException"


def test_the_same_token_makes_one_version(api: Any) -> None:
    api.create_launch_template(LaunchTemplateName="versions-once", **_DATA)
    asked = {
        "LaunchTemplateName": "versions-once",
        "LaunchTemplateData": {"KeyName": "k"},
        "SourceVersion": "$Latest",
        "ClientToken": "t1",
    }
    first = api.create_launch_template_version(**asked)["LaunchTemplateVersion"]
    assert first["VersionNumber"] == 2
    assert api.create_launch_template_version(**asked)["LaunchTemplateVersion"] == first
    assert _numbers(api, LaunchTemplateName="versions-once") == [1, 2]
    with pytest.raises(ClientError) as refused:
        api.create_launch_template_version(**asked | {"LaunchTemplateData": {"KeyName": "other"}})
    assert code_of(refused) == "IdempotentParameterMismatch"
    again = api.create_launch_template_version(**asked | {"ClientToken": "t2"})
    assert again["LaunchTemplateVersion"]["VersionNumber"] == 3
