"""Values for the shapes of AWS's models, by chance."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from pycloud.aws.models import service_model
from pycloud.aws.reader import Taken

_TEXT = st.text(
    st.characters(
        codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"
    ),
    max_size=20,
)
_MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
_DEEPEST = 4


def values_of(shape: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Return a strategy for what `shape` can hold."""
    if shape.type_name == "structure":
        return _structures(shape, depth)
    if shape.type_name == "list":
        return st.lists(values_of(shape.member, depth + 1), min_size=1, max_size=3)
    if shape.type_name == "string":
        return st.sampled_from(shape.enum) if shape.enum else _strings(shape)
    return {
        "integer": st.integers(*_bounds(shape, 2**31)),
        "long": st.integers(*_bounds(shape, 2**63)),
        "double": st.floats(allow_nan=False, allow_infinity=False),
        "float": st.floats(allow_nan=False, allow_infinity=False),
        "boolean": st.booleans(),
        "timestamp": _MOMENTS,
        "blob": st.binary(max_size=20),
    }[shape.type_name]


def everything_of(service: str) -> Taken:
    """Return a `Taken` to which nothing is foreign."""
    model = service_model(service)
    shapes = [model.shape_for(name) for name in model.shape_names]
    structures = [shape for shape in shapes if shape.type_name == "structure"]
    return Taken({shape.name: frozenset(shape.members) for shape in structures})


def _structures(shape: Any, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    # What is empty is not sent, so what is required must not be.
    required = {
        key: values_of(shape.members[key], depth + 1).filter(_is_sent)
        for key in shape.required_members
    }
    if depth >= _DEEPEST:
        return st.fixed_dictionaries(required)
    optional = {
        key: _deferred(member, depth + 1)
        for key, member in shape.members.items()
        if key not in required
    }
    return st.fixed_dictionaries(required, optional=optional)


def _deferred(shape: Any, depth: int) -> st.SearchStrategy[Any]:
    """Most members are never drawn: their strategies are made when they are."""
    return st.deferred(lambda: values_of(shape, depth))


def _is_sent(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_is_sent(inner) for inner in value.values())
    return any(map(_is_sent, value)) if isinstance(value, list) else True


def _strings(shape: Any) -> st.SearchStrategy[str]:
    shortest, longest = shape.metadata.get("min", 0), shape.metadata.get("max")
    return _TEXT.map(lambda text: text.ljust(shortest, "x")[:longest])


def _bounds(shape: Any, bound: int) -> tuple[int, int]:
    return shape.metadata.get("min", -bound), shape.metadata.get("max", bound - 1)
