"""The parameters of a query request, `Filter.1.Value.2=…`, as a tree of names.

The names come from a stranger: their number, depth and characters are bounded here, before anything
looks at what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

from pycloud import limits
from pycloud.aws.errors import AWSError

Tree: TypeAlias = "dict[str, Tree | str]"

_PART = f"[A-Za-z0-9_-]{{1,{limits.QUERY_NAME_CHARS}}}"
_NAME = re.compile(rf"{_PART}(?:\.{_PART}){{0,{limits.QUERY_NAME_PARTS - 1}}}")


def pairs_of(encoded: bytes) -> list[tuple[str, str]]:
    """Return the names and values of a query string or of a form's body, decoded. Raises
    `AWSError`.
    """
    fields = [field for field in encoded.split(b"&") if field]
    if len(fields) > limits.QUERY_PARAMETERS:
        raise AWSError(
            "MalformedQueryString",
            f"A request has at most {limits.QUERY_PARAMETERS} parameters, not {len(fields)}",
        )
    return [_pair(field) for field in fields]


def tree_of(pairs: Iterable[tuple[str, str]]) -> Tree:
    """Return the parameters as a tree: each part of a name between dots is a branch. Raises
    `AWSError` for a name that is given twice, or is both a value and a branch.
    """
    tree: Tree = {}
    for name, value in pairs:
        if not _NAME.fullmatch(name):
            raise AWSError("MalformedQueryString", f"{_shown(name)} is not a parameter's name")
        *branches, leaf = name.split(".")
        branch = tree
        for part in branches:
            deeper = branch.setdefault(part, {})
            if isinstance(deeper, str):
                raise AWSError("MalformedQueryString", f"{name}: {part} has a value of its own")
            branch = deeper
        if leaf in branch:
            raise AWSError("MalformedQueryString", f"The parameter {name} is given twice")
        branch[leaf] = value
    return tree


def _pair(field: bytes) -> tuple[str, str]:
    name, _, value = field.partition(b"=")
    try:
        return _text(name), _text(value)
    except UnicodeDecodeError:
        raise AWSError(
            "MalformedQueryString", f"The parameter {_shown(name.decode('latin-1'))} is not UTF-8"
        ) from None


def _text(encoded: bytes) -> str:
    return unquote_to_bytes(encoded.replace(b"+", b" ")).decode()


def _shown(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:80]}…")
