"""The lifecycle rules of a bucket: what is to go, and when.

Source: "Lifecycle configuration elements". Days are counted from when a version was made, or ceased
to be the latest, and end at the next midnight in UTC. Whatever else a rule says (a transition to
another storage class) is not for this store, which has one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import attrs

from pycloud import limits
from pycloud.errors import InvalidValue


def _aware(value: datetime | None) -> datetime | None:
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


@attrs.frozen(kw_only=True)
class LifecycleRule:
    """One rule. What is None or false, it does not do."""

    id: str = ""
    enabled: bool = True
    prefix: str = ""
    tags: Mapping[str, str] = attrs.field(factory=dict)
    larger_than_bytes: int | None = None
    smaller_than_bytes: int | None = None
    expire_days: int | None = None
    """Delete an object so many days after it was made."""
    expire_at: datetime | None = attrs.field(default=None, converter=_aware)
    """Delete objects from that day on."""
    expire_delete_marker: bool = False
    """Remove a delete marker that has nothing under it."""
    noncurrent_days: int | None = None
    """Remove a version so many days after another one took its place."""
    noncurrent_kept: int = 0
    """But not the newest of those, so many."""
    abort_days: int | None = None
    """Abort an upload so many days after it was begun."""

    def __attrs_post_init__(self) -> None:
        for days in (self.expire_days, self.noncurrent_days, self.abort_days):
            if days is not None and (not isinstance(days, int) or days < 1):
                raise InvalidValue(f"rule {self.id!r}: days are a positive number, not {days!r}")
        if not isinstance(self.noncurrent_kept, int) or self.noncurrent_kept < 0:
            raise InvalidValue(f"rule {self.id!r}: {self.noncurrent_kept!r} versions can't be kept")

    def covers(self, key: str, size_bytes: int, tags: Mapping[str, str]) -> bool:
        """Tell whether the rule is for such an object."""
        return (
            self.enabled
            and key.startswith(self.prefix)
            and self.tags.items() <= tags.items()
            and (self.larger_than_bytes is None or size_bytes > self.larger_than_bytes)
            and (self.smaller_than_bytes is None or size_bytes < self.smaller_than_bytes)
        )

    def expires(self, created_at: datetime, now: datetime) -> bool:
        """Tell whether an object that was made then is to go."""
        if self.expire_at is not None and self.expire_at <= now:
            return True
        return is_due(created_at, self.expire_days, now)


@attrs.frozen
class LifecycleRules:
    """All rules of a bucket: the setting `lifecycle`.

    >>> from pycloud import LifecycleRule, LifecycleRules
    >>> rules = LifecycleRules((LifecycleRule(prefix="log/", expire_days=30),))
    >>> LifecycleRules.from_json(rules.to_json()) == rules
    True
    """

    rules: tuple[LifecycleRule, ...]

    @classmethod
    def from_json(cls, document: str) -> Self:
        """Read what `to_json` wrote; other fields may be in it too. Raises `InvalidValue`."""
        try:
            found = json.loads(document)["rules"]
            rules = [_rule(fields) for fields in found]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidValue(
                f'lifecycle rules are {{"rules": [{{"expire_days": 30}}, …]}}: {error}'
            ) from error
        if len(rules) > limits.LIFECYCLE_RULES:
            raise InvalidValue(
                f"a bucket has at most {limits.LIFECYCLE_RULES} lifecycle rules, not {len(rules)}"
            )
        return cls(tuple(rules))

    def to_json(self) -> str:
        """Return the document for `BucketStore.set_setting`."""
        rules = [
            attrs.asdict(rule) | {"expire_at": _written(rule.expire_at)} for rule in self.rules
        ]
        return json.dumps({"rules": rules})

    def expires(
        self,
        key: str,
        size_bytes: int,
        tags: Mapping[str, str],
        created_at: datetime,
        now: datetime,
    ) -> bool:
        """Tell whether an object is to be deleted."""
        return any(
            rule.covers(key, size_bytes, tags) and rule.expires(created_at, now)
            for rule in self.rules
        )

    def removes_marker(self, key: str, created_at: datetime, now: datetime) -> bool:
        """Tell whether a delete marker goes when nothing is under it."""
        return any(
            rule.covers(key, 0, {}) and (rule.expire_delete_marker or rule.expires(created_at, now))
            for rule in self.rules
        )

    def removes_former(
        self,
        key: str,
        size_bytes: int,
        tags: Mapping[str, str],
        covered_at: datetime,
        newer: int,
        now: datetime,
    ) -> bool:
        """Tell whether a version goes that ceased to be the latest at `covered_at`, when there are
        `newer` ones that are not the latest either.
        """
        return any(
            rule.covers(key, size_bytes, tags)
            and newer >= rule.noncurrent_kept
            and is_due(covered_at, rule.noncurrent_days, now)
            for rule in self.rules
        )

    def aborts(self, key: str, begun_at: datetime, now: datetime) -> bool:
        """Tell whether an upload is to be aborted."""
        return any(
            rule.enabled and key.startswith(rule.prefix) and is_due(begun_at, rule.abort_days, now)
            for rule in self.rules
        )


def is_due(since: datetime, days: int | None, now: datetime) -> bool:
    """Tell whether so many days are over, and the last one has ended."""
    if days is None:
        return False
    end = since.astimezone(UTC) + timedelta(days=days)
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    return now >= (midnight if midnight == end else midnight + timedelta(days=1))


def _rule(fields: dict[str, Any]) -> LifecycleRule:
    known = {field.name for field in attrs.fields(LifecycleRule)}
    values = {name: value for name, value in fields.items() if name in known}
    if values.get("expire_at") is not None:
        values["expire_at"] = datetime.fromisoformat(values["expire_at"])
    return LifecycleRule(**values)


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
