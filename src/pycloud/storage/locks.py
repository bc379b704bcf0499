"""Object locks: what keeps a version from being deleted ("Locking objects with Object Lock")."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Self

import attrs

from pycloud import limits
from pycloud.errors import InvalidValue, Locked
from pycloud.storage.records import Retention

GOVERNANCE, COMPLIANCE = "governance", "compliance"
_YEAR_DAYS = 365


@attrs.frozen
class DefaultRetention:
    """What is kept how long in a bucket unless its writer says so: the setting `object-lock`."""

    mode: str
    days: int

    @classmethod
    def from_json(cls, document: str) -> Self:
        """Read what `to_json` wrote. Raises `InvalidValue`."""
        try:
            found = json.loads(document)
            rule = cls(found["mode"], found["days"])
        except (ValueError, KeyError, TypeError):
            raise InvalidValue(
                'a default retention is {"mode": "governance" or "compliance", "days": a number}, '
                f"not {document!r}"
            ) from None
        _check_mode(rule.mode)
        if not isinstance(rule.days, int) or not 1 <= rule.days <= limits.RETENTION_DAYS:
            raise InvalidValue(
                f"a retention has 1 to {limits.RETENTION_DAYS} days, not {rule.days!r}"
            )
        return rule

    def to_json(self) -> str:
        """Return the document for `BucketStore.set_setting`."""
        return json.dumps(attrs.asdict(self))

    def begin(self, now: datetime) -> Retention:
        """Return the retention of what is written now."""
        return Retention(self.mode, now + timedelta(days=self.days))


def check_retention(retention: Retention, now: datetime) -> None:
    """Raise `InvalidValue` for a retention that can't be given."""
    _check_mode(retention.mode)
    if retention.until <= now:
        raise InvalidValue(f"a version is kept until a time to come, not {retention.until}")


def check_change(
    row: Any, retention: Retention | None, now: datetime, *, bypass_governance: bool
) -> None:
    """Raise `Locked` if the version has a retention that may not be made into this one."""
    if row.retained_until is None or row.retained_until <= now:
        return
    same_mode = retention is not None and retention.mode == row.retention_mode
    stronger = retention is not None and retention.mode == COMPLIANCE
    longer = retention is not None and retention.until >= row.retained_until
    if longer and (same_mode or stronger):
        return
    if row.retention_mode == GOVERNANCE and bypass_governance:
        return
    raise Locked(
        f"the version is kept until {row.retained_until}, in {row.retention_mode} mode: "
        "that can only be made longer"
    )


def check_deletable(row: Any, now: datetime, *, bypass_governance: bool) -> None:
    """Raise `Locked` if the version is kept."""
    if row.legal_hold:
        raise Locked(f"version {row.version_id} is under a legal hold")
    if row.retained_until is None or row.retained_until <= now:
        return
    if row.retention_mode == GOVERNANCE and bypass_governance:
        return
    raise Locked(
        f"version {row.version_id} is kept until {row.retained_until}, in {row.retention_mode} mode"
    )


def _check_mode(mode: str) -> None:
    if mode not in (GOVERNANCE, COMPLIANCE):
        raise InvalidValue(f"a retention is {GOVERNANCE} or {COMPLIANCE}, not {mode!r}")
