"""All actions of S3 that are carried out, by name."""

from __future__ import annotations

from typing import Final

from pycloud.aws.rest_actions import RestAction
from pycloud.s3 import (
    absent,
    acl,
    attributes,
    buckets,
    copy,
    cors,
    delete,
    encryption,
    get,
    lifecycle,
    listing,
    lock,
    policies,
    put,
    settings,
    tagging,
    uploads,
    versioning,
)

ACTIONS: Final[dict[str, RestAction]] = {
    name: action
    for module in (
        absent,
        acl,
        attributes,
        buckets,
        copy,
        cors,
        delete,
        encryption,
        get,
        lifecycle,
        listing,
        lock,
        policies,
        put,
        settings,
        tagging,
        uploads,
        versioning,
    )
    for name, action in module.actions.by_name.items()
}
