"""Images: registered from a bucket, described, shared, changed and taken away."""

from __future__ import annotations

import io
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pycloud.storage.records import About
from pycloud.testing.images import kernel_bytes, machine_bytes, ramdisk_bytes
from tests.ec2.conftest import Served, counted_statements
from tests.ec2.things import NOWHERE, STRANGER, Refusal, Things, by_name, code_of, unchecked

_OF_ONE: dict[str, dict[str, Any]] = {
    "DeregisterImage": {},
    "DescribeImageAttribute": {"Attribute": "description"},
    "ModifyImageAttribute": {"Description": {"Value": "x"}},
    "ResetImageAttribute": {"Attribute": "launchPermission"},
}


def _modify(code: str, **asked: Any) -> Refusal:
    return Refusal("ModifyImageAttribute", {"ImageId": "{emi}", **asked}, code)


def _register(code: str, **asked: Any) -> Refusal:
    image = {"Name": "new", "ImageLocation": "disks/web.img", "KernelId": "{eki}"}
    return Refusal("RegisterImage", image | asked, code)


REFUSALS = [
    *(
        Refusal(action, {"ImageId": id_, **others}, code)
        for action, others in _OF_ONE.items()
        for id_, code in (
            ("centos", "InvalidAMIID.Malformed"),
            (f"emi-{NOWHERE}", "InvalidAMIID.NotFound"),
        )
    ),
    *(
        Refusal(action, {"ImageId": "{public_image}", **others}, "AuthFailure", account=STRANGER)
        for action, others in _OF_ONE.items()
        if action != "DescribeImageAttribute"
    ),
    Refusal(
        "DescribeImageAttribute",
        {"ImageId": "{public_image}", "Attribute": "launchPermission"},
        "AuthFailure",
        account=STRANGER,
    ),
    *(Refusal(action, others, "MissingParameter") for action, others in _OF_ONE.items()),
    Refusal("DescribeImages", {"ImageIds": ["centos"]}, "InvalidAMIID.Malformed"),
    Refusal("DescribeImages", {"ImageIds": [f"emi-{NOWHERE}"]}, "InvalidAMIID.NotFound"),
    Refusal("DescribeImages", {"ImageIds": ["{emi}", f"emi-{NOWHERE}"]}, "InvalidAMIID.NotFound"),
    Refusal(
        "DescribeImages", {"ImageIds": ["{emi}"], "MaxResults": 5}, "InvalidParameterCombination"
    ),
    Refusal("DescribeImages", {"MaxResults": 1001}, "InvalidParameterValue"),
    Refusal("DescribeImages", {"NextToken": "soon"}, "InvalidNextToken"),
    Refusal(
        "DescribeImages",
        {"Filters": [{"Name": "colour", "Values": ["red"]}]},
        "InvalidParameterValue",
    ),
    Refusal(
        "DescribeImageAttribute",
        {"ImageId": "{emi}", "Attribute": "sriovNetSupport"},
        "InvalidParameterValue",
    ),
    Refusal("ResetImageAttribute", {"ImageId": "{emi}", "Attribute": "x"}, "InvalidParameterValue"),
    _modify("MissingParameter"),
    _modify("MissingParameter", Attribute="kernel", Value="x"),
    *(
        _modify("InvalidParameterCombination", **one, **other)
        for one in ({"Description": {"Value": "x"}}, {"Attribute": "description", "Value": "x"})
        for other in (
            {"LaunchPermission": {"Add": [{"Group": "all"}]}},
            {"OperationType": "add", "UserGroups": ["all"]},
        )
    ),
    _modify(
        "InvalidParameterCombination",
        Attribute="description",
        LaunchPermission={"Add": [{"Group": "all"}]},
    ),
    _modify("MissingParameter", Attribute="description"),
    _modify("InvalidParameterValue", Description={"Value": "x" * 256}),
    _modify("InvalidParameterValue", Attribute="launchPermission", UserIds=["1"]),
    _modify(
        "InvalidParameterValue",
        Attribute="launchPermission",
        OperationType="add",
        UserIds=["1"],
    ),
    _modify("InvalidParameterValue", LaunchPermission={"Add": [{"UserId": "me"}]}),
    _modify("InvalidParameterValue", LaunchPermission={"Add": [{"Group": "some"}]}),
    _modify(
        "InvalidParameterValue",
        LaunchPermission={"Add": [{"UserId": f"{n:012d}"} for n in range(501)]},
    ),
    _modify("UnsupportedOperation", LaunchPermission={"Add": [{"OrganizationArn": "x"}]}),
    Refusal("RegisterImage", {"Name": "new"}, "MissingParameter"),
    _register("InvalidAMIName.Duplicate", Name="own"),
    _register("InvalidAMIID.Malformed", ImageLocation="web.img"),
    _register("InvalidManifest", ImageLocation="nowhere/web.img"),
    _register("InvalidManifest", ImageLocation="disks/none.img"),
    _register("InvalidAMIID.NotFound", KernelId=f"eki-{NOWHERE}"),
    _register("InvalidAMIID.NotFound", RamdiskId=f"eri-{NOWHERE}"),
    _register("InvalidParameterValue", KernelId="{emi}"),
    _register("InvalidParameterValue", Name="x" * 256),
    _register("InvalidParameterValue", Description="x" * 256),
    _register("UnsupportedOperation", Architecture="arm64"),
    _register("UnsupportedOperation", VirtualizationType="paravirtual"),
    _register("UnsupportedOperation", RootDeviceName="/dev/sda1"),
    _register("UnsupportedOperation", BlockDeviceMappings=[{"DeviceName": "/dev/sda"}]),
    _register(
        "InvalidParameterValue",
        TagSpecifications=[{"ResourceType": "image", "Tags": [{"Key": "aws:x"}]}],
    ),
    _register(
        "TagLimitExceeded",
        TagSpecifications=[
            {"ResourceType": "image", "Tags": [{"Key": f"k{n}"} for n in range(51)]}
        ],
    ),
]


@by_name(REFUSALS)
def test_refused(things: Things, refusal: Refusal) -> None:
    before = things.served.world.cloud.images.list()
    things.check(refusal)
    assert things.served.world.cloud.images.list() == before


@pytest.fixture(scope="module")
def bucket(shared: Served) -> str:
    buckets = shared.world.cloud.buckets
    buckets.create_bucket("bucket")
    contents = {
        "kernel": kernel_bytes(),
        "ramdisk": ramdisk_bytes(),
        "machine": machine_bytes(),
        "folder/deep/machine": machine_bytes(),
        "letter": b"Dear Sir or Madam",
    }
    for key, data in contents.items():
        path = shared.world.directory / "upload"
        path.write_bytes(data)
        with path.open("rb") as stream:
            buckets.put("bucket", key, stream)
    return "bucket"


def _shown(api: Any, id_: str) -> dict[str, Any]:
    [shown] = api.describe_images(ImageIds=[id_])["Images"]
    return dict(shown)


def test_a_machine_its_kernel_and_its_ramdisk(api: Any, bucket: str) -> None:
    eki = api.register_image(Name="new kernel", ImageLocation=f"{bucket}/kernel")["ImageId"]
    eri = api.register_image(Name="new ramdisk", ImageLocation=f"/{bucket}/ramdisk")["ImageId"]
    emi = api.register_image(
        Name="new machine",
        Description="with both",
        ImageLocation=f"{bucket}/folder/deep/machine",
        KernelId=eki,
        RamdiskId=eri,
        Architecture="x86_64",
        VirtualizationType="hvm",
        RootDeviceName="/dev/vda",
        TagSpecifications=[{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}],
    )["ImageId"]
    assert [id_[:4] for id_ in (eki, eri, emi)] == ["eki-", "eri-", "emi-"]
    kinds = [_shown(api, id_)["ImageType"] for id_ in (eki, eri, emi)]
    assert kinds == ["kernel", "ramdisk", "machine"]
    shown = _shown(api, emi)
    assert (shown["KernelId"], shown["RamdiskId"]) == (eki, eri)
    assert shown["ImageLocation"] == f"{bucket}/folder/deep/machine"
    assert (shown["Name"], shown["Description"]) == ("new machine", "with both")
    assert shown["Tags"] == [{"Key": "a", "Value": "b"}]
    assert shown["Public"] is False
    run = api.run_instances(ImageId=emi, MinCount=1, MaxCount=1)
    assert run["Instances"][0]["KernelId"] == eki


@pytest.mark.parametrize(
    ("key", "word"), [("letter", "not an image"), ("machine", "without a boot loader")]
)
def test_what_is_no_image_is_not_registered(api: Any, bucket: str, key: str, word: str) -> None:
    with pytest.raises(ClientError) as refused:
        api.register_image(Name=f"no {key}", ImageLocation=f"{bucket}/{key}")
    assert code_of(refused) == "InvalidParameterValue"
    assert word in str(refused.value)


def test_an_image_that_only_its_customer_can_decrypt_is_not_registered(
    shared: Served, api: Any, bucket: str
) -> None:
    about = About(customer_key=bytes(32))
    shared.world.cloud.buckets.put(bucket, "sealed", io.BytesIO(machine_bytes()), about=about)
    with pytest.raises(ClientError) as refused:
        api.register_image(Name="sealed", ImageLocation=f"{bucket}/sealed")
    assert code_of(refused) == "InvalidManifest"


def test_a_deregistered_image_is_gone_but_for_its_instances(
    shared: Served, api: Any, bucket: str
) -> None:
    images = shared.world.images
    asked = {"ImageLocation": f"{bucket}/machine", "KernelId": images.kernel.id}
    emi = api.register_image(Name="short", **asked)["ImageId"]
    run = api.run_instances(ImageId=emi, MinCount=1, MaxCount=1)["Instances"][0]
    assert api.deregister_image(ImageId=emi)["Return"] is True
    with pytest.raises(ClientError) as refused:
        api.run_instances(ImageId=emi, MinCount=1, MaxCount=1)
    assert code_of(refused) == "InvalidAMIID.NotFound"
    assert emi not in repr(api.describe_images())
    [seen] = api.describe_instances(InstanceIds=[run["InstanceId"]])["Reservations"]
    assert seen["Instances"][0]["ImageId"] == emi
    again = api.register_image(Name="short", **asked)["ImageId"]
    assert again != emi


def _attribute(api: Any, id_: str, attribute: str) -> Any:
    answer = api.describe_image_attribute(ImageId=id_, Attribute=attribute)
    assert answer.pop("ImageId") == id_
    del answer["ResponseMetadata"]
    [value] = answer.values()
    return value


@pytest.mark.parametrize("is_old", [False, True])
def test_who_may_launch_it(
    served: Served, ec2: Any, stranger: Any, image: str, is_old: bool
) -> None:
    def change(operation: str, *users: str, everybody: bool = False) -> None:
        groups = ["all"] if everybody else []
        if is_old:
            ec2.modify_image_attribute(
                ImageId=image,
                Attribute="launchPermission",
                OperationType=operation,
                UserIds=list(users),
                UserGroups=groups,
            )
        else:
            wanted = [{"UserId": user} for user in users] + [{"Group": name} for name in groups]
            ec2.modify_image_attribute(
                ImageId=image, LaunchPermission={operation.capitalize(): wanted}
            )

    def seen() -> list[str]:
        return [one["ImageId"] for one in stranger.describe_images()["Images"]]

    change("add", STRANGER, "123456789012")
    assert _attribute(ec2, image, "launchPermission") == [
        {"UserId": STRANGER},
        {"UserId": "123456789012"},
    ]
    assert seen() == [image]
    change("add", STRANGER)
    change("remove", STRANGER)
    assert seen() == []
    change("add", everybody=True)
    assert seen() == [image]
    assert _shown(stranger, image)["Public"] is True
    assert {"Group": "all"} in _attribute(ec2, image, "launchPermission")
    change("remove", everybody=True)
    assert seen() == []
    change("add", STRANGER, everybody=True)
    ec2.reset_image_attribute(ImageId=image, Attribute="launchPermission")
    assert _attribute(ec2, image, "launchPermission") == []
    assert seen() == []


def test_what_is_executable_by_whom(things: Things) -> None:
    def found(*users: str) -> set[str]:
        images = things.ask("DescribeImages", {"ExecutableUsers": list(users)})["Images"]
        return {one["ImageId"] for one in images}

    assert found("all") == {things.ids["public_image"]}
    assert found("self") == set()
    assert found(STRANGER) == {things.ids["shared_image"]}
    assert found("all", STRANGER) == {things.ids["public_image"], things.ids["shared_image"]}


@pytest.mark.parametrize(
    ("owners", "count"),
    [
        (["self"], 6),
        (["000000000001"], 6),
        ([STRANGER], 0),
        (["amazon"], 0),
        ([STRANGER, "self"], 6),
    ],
)
def test_images_by_owner(things: Things, owners: list[str], count: int) -> None:
    assert len(things.ask("DescribeImages", {"Owners": owners})["Images"]) == count


@pytest.mark.parametrize("is_old", [False, True])
def test_the_description_is_changed(api: Any, emi: str, is_old: bool) -> None:
    new = f"new {is_old}"
    if is_old:
        api.modify_image_attribute(ImageId=emi, Attribute="description", Value=new)
    else:
        api.modify_image_attribute(ImageId=emi, Description={"Value": new})
    assert _shown(api, emi)["Description"] == new
    assert _attribute(api, emi, "description") == {"Value": new}


def test_other_attributes_are_told(things: Things) -> None:
    api, id_ = unchecked(things.served), things.ids["own_image"]
    assert _attribute(api, id_, "kernel") == {"Value": things.ids["eki"]}
    assert _attribute(api, id_, "ramdisk") == {"Value": things.ids["eri"]}
    assert _attribute(api, id_, "productCodes") == []
    assert _attribute(api, id_, "blockDeviceMapping") == []


def test_who_may_launch_many_images_is_read_once(things: Things) -> None:
    counts = []
    for users in (["all"], ["self", STRANGER]):
        with counted_statements(things.served) as statements:
            things.ask("DescribeImages", {"ExecutableUsers": users})
        counts.append(len(statements))
    with counted_statements(things.served) as statements:
        things.ask("DescribeImages", {})
    assert counts == [len(statements) + 1] * 2
