"""The service models of AWS, as botocore carries them (extra `pycloud[aws]`): what each action takes
and answers is data.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from pycloud.errors import InvalidValue

_EUARE: Final[dict[str, Any]] = {
    "operations": {
        "CreateAccount": ("CreateAccountRequest", "CreateAccountResponse"),
        "ListAccounts": (None, "ListAccountsResponse"),
        "DeleteAccount": ("DeleteAccountRequest", None),
    },
    "shapes": {
        "EuareAccount": {
            "type": "structure",
            "required": ["AccountName", "AccountId"],
            "members": {
                "AccountName": {"shape": "stringType"},
                "AccountId": {"shape": "stringType"},
            },
        },
        "EuareAccountList": {"type": "list", "member": {"shape": "EuareAccount"}},
        "CreateAccountRequest": {
            "type": "structure",
            "required": ["AccountName"],
            "members": {"AccountName": {"shape": "stringType"}},
        },
        "CreateAccountResponse": {
            "type": "structure",
            "required": ["Account"],
            "members": {"Account": {"shape": "EuareAccount"}},
        },
        "ListAccountsResponse": {
            "type": "structure",
            "required": ["Accounts"],
            "members": {"Accounts": {"shape": "EuareAccountList"}},
        },
        "DeleteAccountRequest": {
            "type": "structure",
            "required": ["AccountName"],
            "members": {
                "AccountName": {"shape": "stringType"},
                "Recursive": {"shape": "booleanType"},
            },
        },
    },
}
"""What Eucalyptus added to IAM ("Euare", Eucalyptus command reference: `euare-accountcreate`)."""


@cache
def service_model(name: str) -> Any:
    """Return botocore's `ServiceModel` of `ec2`, `s3`, `sts` or `iam`. Raises `InvalidValue` if botocore
    is missing.
    """
    try:
        from botocore.loaders import Loader
        from botocore.model import ServiceModel
    except ImportError as error:
        raise InvalidValue("the AWS adapters need botocore: pip install 'pycloud[aws]'") from error
    description = Loader().load_service_model(name, "service-2")
    if name == "iam":
        _add_euare(description)
    return ServiceModel(description, name)


def _add_euare(description: dict[str, Any]) -> None:
    description["shapes"].update(_EUARE["shapes"])
    for action, (takes, gives) in _EUARE["operations"].items():
        operation: dict[str, Any] = {
            "name": action,
            "http": {"method": "POST", "requestUri": "/"},
        }
        if takes is not None:
            operation["input"] = {"shape": takes}
        if gives is not None:
            operation["output"] = {"shape": gives, "resultWrapper": f"{action}Result"}
        description["operations"][action] = operation
