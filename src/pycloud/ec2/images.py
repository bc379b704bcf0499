"""Images: machine images (EMI), kernels (EKI) and ramdisks (ERI), and who may launch them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pycloud.aws.actions import Actions, Answer
from pycloud.aws.errors import AWSError
from pycloud.aws.writer import moment_of
from pycloud.compute.bundles import InvalidBundle
from pycloud.compute.records import Image, ImageKind
from pycloud.ec2.answers import picked, tag_set, tags_for
from pycloud.ec2.call import Call, check_ids
from pycloud.ec2.filters import Filter, chosen
from pycloud.ec2.pages import page, refuse_with_ids
from pycloud.ec2.taken import EC2
from pycloud.errors import Duplicate
from pycloud.ids import AccountId, ImageId

actions = Actions("ec2", EC2)

ROOT_DEVICE = "/dev/vda"
_PREFIXES = ("emi", "eki", "eri", "ami", "aki", "ari")
_FILTERS = {
    "architecture": "Architecture",
    "creation-date": "CreationDate",
    "description": "Description",
    "hypervisor": "Hypervisor",
    "image-id": "ImageId",
    "image-type": "ImageType",
    "is-public": "Public",
    "kernel-id": "KernelId",
    "manifest-location": "ImageLocation",
    "name": "Name",
    "owner-alias": "ImageOwnerAlias",
    "owner-id": "OwnerId",
    "platform": "Platform",
    "ramdisk-id": "RamdiskId",
    "root-device-name": "RootDeviceName",
    "root-device-type": "RootDeviceType",
    "state": "State",
    "virtualization-type": "VirtualizationType",
}
_NO_DEPRECATION = "images here are neither deprecated nor disabled"


def check_image_ids(ids: Sequence[str]) -> None:
    """Raise `AWSError` for what can't be an image's id."""
    check_ids(ids, _PREFIXES, "InvalidAMIID.Malformed")


@actions.action(
    "DescribeImages",
    harmless={"IncludeDeprecated": _NO_DEPRECATION, "IncludeDisabled": _NO_DEPRECATION},
)
def describe_images(
    call: Call,
    *,
    image_ids: Sequence[str] | None = None,
    owners: Sequence[str] | None = None,
    executable_users: Sequence[str] | None = None,
    filters: Sequence[Filter] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Answer:
    """One's own images, public ones and those shared with the account; all with `verbose`."""
    account, ids = call.whose(image_ids)
    check_image_ids(ids)
    refuse_with_ids(ids, max_results)
    registry = call.cloud.images
    with call.cloud.state.reading() as tx:
        found = registry.list(account=account)
        tags = call.cloud.tags.of(tx, [one.id for one in found])
        grants = registry.grants(tx, account=call.account) if executable_users else {}
    items = [
        _described(one, tags.get(one.id))
        for one in found
        if _is_executable_by(call, one, executable_users, grants)
    ]
    if owners:
        known = {call.account if owner == "self" else owner for owner in owners}
        items = [item for item in items if item["OwnerId"] in known]
    items = picked(items, "ImageId", ids, "InvalidAMIID.NotFound")
    items = chosen(items, filters, _FILTERS)
    shown, token = page(items, "ImageId", max_results, next_token)
    return {"Images": shown, "NextToken": token}


@actions.action(
    "RegisterImage",
    codes={Duplicate: "InvalidAMIName.Duplicate", InvalidBundle: "InvalidManifest"},
)
def register_image(
    call: Call,
    *,
    name: str | None = None,
    image_location: str | None = None,
    description: str = "",
    architecture: str = "x86_64",
    kernel_id: str | None = None,
    ramdisk_id: str | None = None,
    virtualization_type: str = "hvm",
    root_device_name: str = ROOT_DEVICE,
    tag_specifications: Sequence[Mapping[str, Any]] | None = None,
) -> Answer:
    """From `bucket/key`: a disk image, or the manifest of a bundle. Without a name, as old tools
    send it, the image is called what its location is.
    """
    if image_location is None:
        raise AWSError("MissingParameter", "The request must contain the parameter ImageLocation")
    _check_choice("Architecture", architecture, "x86_64")
    _check_choice("VirtualizationType", virtualization_type, "hvm")
    _check_choice("RootDeviceName", root_device_name, ROOT_DEVICE)
    tags = tags_for("image", tag_specifications)
    location = image_location.strip("/")
    bucket, _, key = location.partition("/")
    if not key:
        raise AWSError(
            "InvalidAMIID.Malformed", f"ImageLocation is bucket/key, not {image_location!r}"
        )
    image = call.cloud.images.register_object(
        bucket,
        key,
        name=location if name is None else name,
        description=description,
        kernel=None if kernel_id is None else ImageId(kernel_id),
        ramdisk=None if ramdisk_id is None else ImageId(ramdisk_id),
        tags=tags,
        account=call.account,
    )
    return {"ImageId": image.id}


@actions.action(
    "DeregisterImage", harmless={"DeleteAssociatedSnapshots": "no snapshot belongs to an image"}
)
def deregister_image(call: Call, *, image_id: str) -> Answer:
    """Instances of it stay."""
    check_image_ids([image_id])
    with call.cloud.state.transaction() as tx:
        call.cloud.images.deregister(ImageId(image_id), account=call.account)
        call.cloud.tags.forget(tx, [image_id])
    return {"Return": True}


@actions.action("DescribeImageAttribute")
def describe_image_attribute(call: Call, *, image_id: str, attribute: str) -> Answer:
    """One attribute of an image of one's own."""
    with call.cloud.state.reading():
        image = _own(call, image_id)
        grantees = call.cloud.images.grantees(image.id, account=call.account)
    values: dict[str, Any] = {
        "description": ("Description", {"Value": image.description or None}),
        "kernel": ("KernelId", {"Value": image.kernel_id}),
        "ramdisk": ("RamdiskId", {"Value": image.ramdisk_id}),
        "launchPermission": ("LaunchPermissions", _permissions(image, grantees)),
        "productCodes": ("ProductCodes", []),
        "blockDeviceMapping": ("BlockDeviceMappings", []),
    }
    if attribute not in values:
        raise AWSError("InvalidParameterValue", f"Attribute {attribute} is not kept here")
    member, value = values[attribute]
    return {"ImageId": image.id, member: value}


@actions.action("ModifyImageAttribute")
def modify_image_attribute(
    call: Call,
    *,
    image_id: str,
    attribute: str | None = None,
    description: Mapping[str, str] | None = None,
    launch_permission: Mapping[str, Any] | None = None,
    operation_type: str | None = None,
    user_ids: Sequence[str] | None = None,
    user_groups: Sequence[str] | None = None,
    value: str | None = None,
) -> Answer:
    """The description, or who may launch it: in today's form, or as old tools send it."""
    image = _own(call, image_id)
    old = operation_type or user_ids or user_groups
    _check_one(
        attribute, description=(description, value), launchPermission=(launch_permission, old)
    )
    if description is not None or value is not None:
        text = value if description is None else description.get("Value", "")
        call.cloud.images.describe_as(image.id, text or "", account=call.account)
        return None
    if launch_permission is None:
        permission = [{"UserId": user} for user in user_ids or ()]
        permission += [{"Group": group} for group in user_groups or ()]
        launch_permission = {_operation(operation_type): permission}
    added, public = _grantees(launch_permission.get("Add", ()))
    removed, private = _grantees(launch_permission.get("Remove", ()))
    call.cloud.images.share(
        image.id,
        add=added,
        remove=removed,
        public=True if public else (False if private else None),
        account=call.account,
    )
    return None


@actions.action("ResetImageAttribute")
def reset_image_attribute(call: Call, *, image_id: str, attribute: str) -> Answer:
    """Launch permission is all that can be reset, as in AWS."""
    image = _own(call, image_id)
    if attribute != "launchPermission":
        raise AWSError("InvalidParameterValue", f"Attribute {attribute} cannot be reset")
    call.cloud.images.unshare(image.id, account=call.account)
    return None


def _own(call: Call, image_id: str) -> Image:
    check_image_ids([image_id])
    return call.cloud.images.get(ImageId(image_id), account=call.account)


def _is_executable_by(
    call: Call,
    image: Image,
    users: Sequence[str] | None,
    grants: Mapping[ImageId, Sequence[AccountId]],
) -> bool:
    """Whether one of the users of `ExecutableBy` was given the image: `all` mean the public ones,
    `self` what others share with the caller.
    """
    if not users:
        return True
    named = {call.account if user == "self" else user for user in users}
    if image.is_public:
        return "all" in named
    if image.account != call.account:
        return call.account in named
    return not named.isdisjoint(grants.get(image.id, ()))


def _described(image: Image, tags: Mapping[str, str] | None) -> dict[str, Any]:
    is_machine = image.kind is ImageKind.MACHINE
    return {
        "ImageId": image.id,
        "ImageLocation": image.location,
        "State": "available",
        "OwnerId": image.account,
        "CreationDate": moment_of(image.created_at),
        "Public": image.is_public,
        "ProductCodes": [],
        "Architecture": "x86_64",
        "ImageType": str(image.kind),
        "KernelId": image.kernel_id,
        "RamdiskId": image.ramdisk_id,
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "BlockDeviceMappings": [],
        "Description": image.description or None,
        "Hypervisor": "xen",
        "Name": image.name,
        "RootDeviceName": ROOT_DEVICE if is_machine else None,
        "RootDeviceType": "instance-store",
        "Tags": tag_set(tags),
        "VirtualizationType": "hvm",
    }


def _permissions(image: Image, grantees: Sequence[str]) -> list[dict[str, str]]:
    everybody = [{"Group": "all"}] if image.is_public else []
    return everybody + [{"UserId": grantee} for grantee in grantees]


def _grantees(permissions: Sequence[Mapping[str, str]]) -> tuple[list[AccountId], bool]:
    """Return the accounts, and whether all are among them."""
    accounts = [AccountId(one["UserId"]) for one in permissions if "UserId" in one]
    return accounts, any("Group" in one for one in permissions)


def _check_one(attribute: str | None, **forms: Sequence[Any]) -> None:
    """Raise `AWSError` unless there is one value, of the attribute if that is named."""
    given = [name for name, values in forms.items() for value in values if value is not None]
    if not given or attribute not in (None, *forms):
        raise AWSError("MissingParameter", "The request must contain an attribute to change")
    if len(given) > 1 or attribute not in (None, *given):
        raise AWSError(
            "InvalidParameterCombination", f"One attribute is changed at a time, not {given}"
        )


def _operation(operation_type: str | None) -> str:
    try:
        return {"add": "Add", "remove": "Remove"}[operation_type or ""]
    except KeyError:
        raise AWSError(
            "InvalidParameterValue", f"OperationType is add or remove, not {operation_type!r}"
        ) from None


def _check_choice(name: str, value: str, only: str) -> None:
    if value != only:
        raise AWSError("UnsupportedOperation", f"{name} is {only} in this cloud, not {value!r}")
