"""All actions that are carried out, by service and name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pycloud.aws.actions import Action
from pycloud.ec2 import (
    account_attributes,
    addresses,
    iam,
    identity,
    images,
    instance_attributes,
    instance_types,
    instances,
    interfaces,
    key_pairs,
    launch_templates,
    launching,
    placement_groups,
    rules,
    security_groups,
    tags,
    vpcs,
    zones,
)

ACTIONS: Final[Mapping[tuple[str, str], Action]] = {
    (module.actions.service, name): action
    for module in (
        account_attributes,
        addresses,
        iam,
        identity,
        images,
        instance_attributes,
        instance_types,
        instances,
        interfaces,
        key_pairs,
        launch_templates,
        launching,
        placement_groups,
        rules,
        security_groups,
        tags,
        vpcs,
        zones,
    )
    for name, action in module.actions.by_name.items()
}
