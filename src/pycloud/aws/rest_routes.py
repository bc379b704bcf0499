"""Which action a REST request asks for: by its method, how deep its path is, and the names in its
query.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, Final, Literal

import attrs

from pycloud.aws.errors import AWSError
from pycloud.aws.models import service_model

Level = Literal["service", "bucket", "object"]

_LEVELS: Final[Mapping[str, Level]] = {
    "": "service",
    "{Bucket}": "bucket",
    "{Bucket}/{Key+}": "object",
}
_SUPERSEDED: Final = frozenset(
    {
        "GetBucketLifecycle",
        "GetBucketNotification",
        "ListDirectoryBuckets",
        "PutBucketLifecycle",
        "PutBucketNotification",
    }
)
"""They share method and path with an action that replaced them, or that others use."""


@attrs.frozen
class Route:
    """What a request has that asks for `action`."""

    action: str
    literals: frozenset[str]
    """Names in the query that stand in the action's path (`?acl`)."""
    values: Mapping[str, str]
    """And those of them that have a value (`list-type=2`)."""
    needed: frozenset[str]
    """Names in the query that are the action's required members."""
    copies: bool
    """It names another object as the source of its bytes."""

    def fits(self, query: Mapping[str, str], *, copies: bool) -> bool:
        """Return whether a request with this query asks for the action."""
        return (
            (not self.copies or copies)
            and all(name in query for name in self.literals | self.needed)
            and all(query[name] == value for name, value in self.values.items())
        )


class Routes:
    """The routes of S3, from its model."""

    def __init__(self) -> None:
        model = service_model("s3")
        self._routes: dict[tuple[str, Level], list[Route]] = {}
        for name in model.operation_names:
            if name not in _SUPERSEDED:
                self._add(model.operation_model(name))
        for routes in self._routes.values():
            routes.sort(key=_weight, reverse=True)
        self._plain = {
            place: route.action
            for place, routes in self._routes.items()
            for route in routes
            if route.fits({}, copies=False)
        }
        """What is asked for without a query: most of all requests."""
        self._literals = {
            level: frozenset[str]().union(
                *(
                    route.literals
                    for (_, at), routes in self._routes.items()
                    if at == level
                    for route in routes
                )
            )
            for level in _LEVELS.values()
        }

    def find(self, method: str, level: Level, query: Mapping[str, str], *, copies: bool) -> str:
        """Return the name of the action. Raises `AWSError` if there is none."""
        plain = self._plain.get((method, level))
        if plain is not None and not query and not copies:
            return plain
        for route in self._routes.get((method, level), ()):
            if route.fits(query, copies=copies):
                self._check(route, level, query)
                return route.action
        raise _not_allowed()

    def _check(self, route: Route, level: Level, query: Collection[str]) -> None:
        """See that nothing that asks for another action was passed over."""
        if self._literals[level].intersection(query) - route.literals - {"list-type"}:
            raise _not_allowed()
        if level == "object" and "uploadId" in query and "uploadId" not in route.needed:
            raise AWSError(
                "InvalidArgument",
                "This operation does not accept a query-string with uploadId alone",
            )

    def _add(self, operation: Any) -> None:
        path, _, query = operation.http["requestUri"].partition("?")
        level = _LEVELS.get(path.strip("/"))
        if level is None:
            return
        literals = [part.partition("=") for part in query.split("&") if part]
        members = {} if operation.input_shape is None else operation.input_shape.members
        required = [] if operation.input_shape is None else operation.input_shape.required_members
        needed = frozenset(
            members[key].serialization["name"]
            for key in required
            if members[key].serialization.get("location") == "querystring"
        )
        route = Route(
            operation.name,
            frozenset(name for name, _, _ in literals),
            {name: value for name, _, value in literals if value},
            needed,
            "CopySource" in required,
        )
        self._routes.setdefault((operation.http["method"], level), []).append(route)


@cache
def routes() -> Routes:
    """Return the routes, made once."""
    return Routes()


def _weight(route: Route) -> tuple[int, int, bool]:
    return len(route.literals), len(route.needed), route.copies


def _not_allowed() -> AWSError:
    return AWSError(
        "MethodNotAllowed", "The specified method is not allowed against this resource."
    )
