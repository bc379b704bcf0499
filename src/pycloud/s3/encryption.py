"""How a bucket's objects are encrypted unless their writers say so."""

from __future__ import annotations

import json
from typing import Any, Final

from pycloud.aws.errors import AWSError
from pycloud.s3.call import Call, new_actions, not_implemented
from pycloud.storage.encryption import DefaultEncryption

actions = new_actions()

_AS_GIVEN: Final = "as_given"


@actions.action("GetBucketEncryption")
def get_bucket_encryption(call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """The rule, as it was given."""
    document = call.access.setting("encryption")
    if document is None:
        raise AWSError(
            "ServerSideEncryptionConfigurationNotFoundError",
            "The server side encryption configuration was not found",
        )
    return {"ServerSideEncryptionConfiguration": {"Rules": json.loads(document)[_AS_GIVEN]}}


@actions.action("PutBucketEncryption", "ServerSideEncryptionConfiguration")
def put_bucket_encryption(call: Call, given: dict[str, Any]) -> None:
    """Encrypt what is written from now on."""
    rules = given.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
    if len(rules) != 1:
        raise AWSError("MalformedXML", "There is exactly one rule of encryption")
    default = rules[0].get("ApplyServerSideEncryptionByDefault", {})
    if default.get("SSEAlgorithm") != "AES256":
        raise not_implemented("keys of a key management service; AES256 is")
    rule = json.loads(DefaultEncryption("AES256").to_json())
    call.set_setting("encryption", json.dumps({**rule, _AS_GIVEN: rules}))


@actions.action("DeleteBucketEncryption")
def delete_bucket_encryption(call: Call, _given: dict[str, Any]) -> None:
    """Encrypt only what asks for it."""
    call.set_setting("encryption", None)
