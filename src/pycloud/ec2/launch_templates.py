"""Launch templates and their versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pycloud.aws.actions import Actions, Answer
from pycloud.aws.errors import AWSError
from pycloud.compute.launch_templates import LaunchTemplate, TemplateVersion
from pycloud.ec2.answers import picked, put_tags, tag_set, tags_for
from pycloud.ec2.call import Call, check_ids, check_one_of
from pycloud.ec2.filters import Filter, chosen
from pycloud.ec2.pages import page, refuse_with_ids
from pycloud.ec2.taken import EC2, NOT_MANAGED
from pycloud.errors import Duplicate, NotFound, PyCloudError, WrongState
from pycloud.ids import LaunchTemplateId

actions = Actions("ec2", EC2)

_FILTERS = {
    "create-time": "CreateTime",
    "launch-template-name": "LaunchTemplateName",
}
_VERSION_FILTERS = {
    "create-time": "CreateTime",
    "http-endpoint": "LaunchTemplateData.MetadataOptions.HttpEndpoint",
    "http-tokens": "LaunchTemplateData.MetadataOptions.HttpTokens",
    "image-id": "LaunchTemplateData.ImageId",
    "instance-type": "LaunchTemplateData.InstanceType",
    "is-default-version": "DefaultVersion",
    "kernel-id": "LaunchTemplateData.KernelId",
    "ram-disk-id": "LaunchTemplateData.RamDiskId",
}
_RETRIED = "the same version chosen again changes nothing"
_NO_ALIAS = "image ids are never aliases here"


def named_version(
    call: Call, specification: Mapping[str, Any]
) -> tuple[LaunchTemplate, TemplateVersion]:
    """Return the template and the version of it that a launch names. Raises `AWSError`."""
    with call.cloud.state.reading() as tx:
        template = _find(
            call,
            specification.get("LaunchTemplateId"),
            specification.get("LaunchTemplateName"),
        )
        name = specification.get("Version") or "$Default"
        return template, call.cloud.launch_templates.version(tx, template, name)


@actions.action(
    "CreateLaunchTemplate",
    codes={Duplicate: "InvalidLaunchTemplateName.AlreadyExistsException"},
)
def create_launch_template(
    call: Call,
    *,
    launch_template_name: str,
    launch_template_data: Mapping[str, Any],
    version_description: str = "",
    tag_specifications: Sequence[Mapping[str, Any]] | None = None,
    client_token: str | None = None,
) -> Answer:
    """With its version 1."""
    tags = tags_for("launch-template", tag_specifications)
    with call.cloud.state.transaction() as tx:
        made = call.cloud.launch_templates.create(
            launch_template_name,
            launch_template_data,
            description=version_description,
            client_token=client_token or None,
            account=call.account,
        )
        put_tags(call, tx, made.id, tags)
    return {"LaunchTemplate": _described(made, tags)}


@actions.action(
    "CreateLaunchTemplateVersion",
    codes={Duplicate: "IdempotentParameterMismatch"},
    harmless={"ResolveAlias": _NO_ALIAS},
)
def create_launch_template_version(
    call: Call,
    *,
    launch_template_data: Mapping[str, Any],
    launch_template_id: str | None = None,
    launch_template_name: str | None = None,
    source_version: str | None = None,
    version_description: str = "",
    client_token: str | None = None,
) -> Answer:
    """From another version, or from nothing."""
    template = _find(call, launch_template_id, launch_template_name)
    made = call.cloud.launch_templates.add_version(
        template.id,
        launch_template_data,
        description=version_description,
        source=source_version,
        client_token=client_token or None,
        account=call.account,
    )
    return {"LaunchTemplateVersion": _version(template, made)}


@actions.action("DescribeLaunchTemplates", harmless={"IncludeManagedResources": NOT_MANAGED})
def describe_launch_templates(
    call: Call,
    *,
    launch_template_ids: Sequence[str] | None = None,
    launch_template_names: Sequence[str] | None = None,
    filters: Sequence[Filter] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Answer:
    """By id or name; those of all accounts for the administrator, with `verbose`."""
    account, ids = call.whose(launch_template_ids)
    check_ids(ids, ["lt"], "InvalidLaunchTemplateId.Malformed")
    refuse_with_ids(ids, max_results)
    with call.cloud.state.reading() as tx:
        found = call.cloud.launch_templates.list(account=account)
        tags = call.cloud.tags.of(tx, [one.id for one in found])
    items = [_described(one, tags.get(one.id)) for one in found]
    items = picked(items, "LaunchTemplateId", ids, "InvalidLaunchTemplateId.NotFound")
    items = picked(
        items,
        "LaunchTemplateName",
        launch_template_names or (),
        "InvalidLaunchTemplateName.NotFoundException",
    )
    items = chosen(items, filters, _FILTERS)
    shown, token = page(items, "LaunchTemplateId", max_results, next_token, least=1, most=200)
    return {"LaunchTemplates": shown, "NextToken": token}


@actions.action(
    "DescribeLaunchTemplateVersions",
    harmless={"IncludeManagedResources": NOT_MANAGED, "ResolveAlias": _NO_ALIAS},
)
def describe_launch_template_versions(
    call: Call,
    *,
    launch_template_id: str | None = None,
    launch_template_name: str | None = None,
    versions: Sequence[str] | None = None,
    min_version: str | None = None,
    max_version: str | None = None,
    filters: Sequence[Filter] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Answer:
    """Of one template; without one, the `$Latest` or `$Default` of each."""
    named = list(versions or ())
    with call.cloud.state.reading():
        items = [
            _version(template, one)
            for template in _templates(call, launch_template_id, launch_template_name, named)
            for one in _versions(call, template, named)
            if _within(one, min_version, max_version)
        ]
    items = chosen(items, filters, _VERSION_FILTERS, tags_of=None)
    shown, token = page(items, _place, max_results, next_token, least=1, most=200)
    return {"LaunchTemplateVersions": shown, "NextToken": token}


def _place(version: Mapping[str, Any]) -> str:
    return f"{version['LaunchTemplateId']} {version['VersionNumber']:09d}"


def _templates(
    call: Call, id_: str | None, name: str | None, versions: Sequence[str]
) -> Sequence[LaunchTemplate]:
    if id_ is not None or name is not None:
        return [_find(call, id_, name)]
    if not versions or not {*versions} <= {"$Latest", "$Default"}:
        raise AWSError(
            "MissingParameter",
            "The request must contain LaunchTemplateId or LaunchTemplateName, "
            "or the versions $Latest and $Default",
        )
    return call.cloud.launch_templates.list(account=call.account)


@actions.action("ModifyLaunchTemplate", harmless={"ClientToken": _RETRIED})
def modify_launch_template(
    call: Call,
    *,
    launch_template_id: str | None = None,
    launch_template_name: str | None = None,
    default_version: str | None = None,
) -> Answer:
    """Which version counts."""
    if default_version is None:
        raise AWSError("MissingParameter", "The request must contain the parameter DefaultVersion")
    with call.cloud.state.transaction():
        template = _find(call, launch_template_id, launch_template_name)
        changed = call.cloud.launch_templates.set_default(
            template.id, default_version, account=call.account
        )
        tags = _tags(call, template)
    return {"LaunchTemplate": _described(changed, tags)}


@actions.action("DeleteLaunchTemplate")
def delete_launch_template(
    call: Call,
    *,
    launch_template_id: str | None = None,
    launch_template_name: str | None = None,
) -> Answer:
    """With all its versions."""
    with call.cloud.state.transaction() as tx:
        template = _find(call, launch_template_id, launch_template_name)
        tags = _tags(call, template)
        call.cloud.launch_templates.delete(template.id, account=call.account)
        call.cloud.tags.forget(tx, [template.id])
    return {"LaunchTemplate": _described(template, tags)}


@actions.action("DeleteLaunchTemplateVersions")
def delete_launch_template_versions(
    call: Call,
    *,
    versions: Sequence[str],
    launch_template_id: str | None = None,
    launch_template_name: str | None = None,
) -> Answer:
    """Those that can be deleted; of the others, why not."""
    template = _find(call, launch_template_id, launch_template_name)
    about = {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
    }
    done, failed = [], []
    for name in versions:
        number = int(name) if name.isascii() and name.isdigit() and len(name) <= 9 else 0
        try:
            call.cloud.launch_templates.delete_version(template.id, name, account=call.account)
        except PyCloudError as error:
            why = {"Code": _failure(error), "Message": str(error)}
            failed.append({**about, "VersionNumber": number, "ResponseError": why})
        else:
            done.append({**about, "VersionNumber": number})
    return {
        "SuccessfullyDeletedLaunchTemplateVersions": done,
        "UnsuccessfullyDeletedLaunchTemplateVersions": failed,
    }


def _failure(error: PyCloudError) -> str:
    if isinstance(error, NotFound):
        return "launchTemplateVersionDoesNotExist"
    # AWS has no better word for the default version.
    return "unexpectedError" if isinstance(error, WrongState) else "invalidParameterValue"


def _find(call: Call, id_: str | None, name: str | None) -> LaunchTemplate:
    check_one_of(LaunchTemplateId=id_, LaunchTemplateName=name)
    if id_ is not None:
        check_ids([id_], ["lt"], "InvalidLaunchTemplateId.Malformed")
        with call.cloud.state.reading() as tx:
            return call.cloud.launch_templates.find(tx, LaunchTemplateId(id_), account=call.account)
    for template in call.cloud.launch_templates.list(account=call.account):
        if template.name == name:
            return template
    raise AWSError(
        "InvalidLaunchTemplateName.NotFoundException",
        f"At least one of the launch templates specified in the request does not exist: {name!r}",
    )


def _versions(
    call: Call, template: LaunchTemplate, names: Sequence[str]
) -> Sequence[TemplateVersion]:
    store = call.cloud.launch_templates
    if not names:
        return store.versions(template.id, account=call.account)
    with call.cloud.state.reading() as tx:
        found = {one.version: one for one in (store.version(tx, template, name) for name in names)}
    return [found[number] for number in sorted(found)]


def _within(one: TemplateVersion, first: str | None, last: str | None) -> bool:
    for bound in (first, last):
        if bound is not None and not (bound.isascii() and bound.isdigit() and len(bound) <= 9):
            raise AWSError("InvalidParameterValue", f"{bound!r} is not the number of a version")
    return (first is None or one.version >= int(first)) and (
        last is None or one.version <= int(last)
    )


def _tags(call: Call, template: LaunchTemplate) -> Mapping[str, str]:
    with call.cloud.state.reading() as tx:
        return call.cloud.tags.of(tx, [template.id]).get(template.id, {})


def _described(one: LaunchTemplate, tags: Mapping[str, str] | None) -> dict[str, Any]:
    return {
        "LaunchTemplateId": one.id,
        "LaunchTemplateName": one.name,
        "CreateTime": one.created_at,
        "CreatedBy": f"arn:aws:iam::{one.account}:root",
        "DefaultVersionNumber": one.default_version,
        "LatestVersionNumber": one.latest_version,
        "Tags": tag_set(tags),
    }


def _version(template: LaunchTemplate, one: TemplateVersion) -> dict[str, Any]:
    return {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "VersionNumber": one.version,
        "VersionDescription": one.description or None,
        "CreateTime": one.created_at,
        "CreatedBy": f"arn:aws:iam::{template.account}:root",
        "DefaultVersion": one.version == template.default_version,
        "LaunchTemplateData": one.data,
    }
