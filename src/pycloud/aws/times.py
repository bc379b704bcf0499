"""The times in signed requests: how they are written, and when they are over."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

from pycloud import limits
from pycloud.aws.requests import SignatureError

_BASIC = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z")
_BASIC_CHARS = 16
_SKEW = timedelta(seconds=limits.CLOCK_SKEW_S)


def read_basic(text: str) -> datetime | None:
    """Return the time that `20130524T000000Z` names; None if `text` is not of this form."""
    return _read_basic(text) if len(text) == _BASIC_CHARS else None


@lru_cache(maxsize=1024)  # requests of the same second say the same
def _read_basic(text: str) -> datetime | None:
    found = _BASIC.fullmatch(text)
    if found is None:
        return None
    try:
        return datetime(*map(int, found.groups()), tzinfo=UTC)  # type: ignore[arg-type,misc]
    except ValueError:
        return None


@lru_cache(maxsize=1024)  # as above
def basic(moment: datetime) -> str:
    """Return how a time in UTC is written in what is signed: `20130524T000000Z`."""
    return moment.strftime("%Y%m%dT%H%M%SZ")


def read_http(text: str) -> datetime | None:
    """Return the time that a Date header names (RFC 9110), or None."""
    try:
        return _aware(parsedate_to_datetime(text))
    except (ValueError, TypeError, OverflowError):
        return None


def read_iso(text: str) -> datetime | None:
    """Return the time that `2013-05-24T00:00:00Z` names, with or without fraction, or None."""
    try:
        return _aware(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def read_any(text: str) -> datetime | None:
    """Return the time in whichever of the three forms it is written, or None."""
    return read_basic(text) or read_http(text) or read_iso(text)


def check_skew(code: str, signed_at: datetime, now: datetime) -> None:
    """Raise `SignatureError` if `signed_at` is further from now than clocks may differ."""
    if abs(now - signed_at) > _SKEW:
        raise SignatureError(
            code,
            f"the request was signed at {signed_at:%Y-%m-%dT%H:%M:%SZ}; here it is "
            f"{now:%Y-%m-%dT%H:%M:%SZ}, and {limits.CLOCK_SKEW_S // 60} minutes may lie between",
        )


def check_started(code: str, signed_at: datetime, now: datetime) -> None:
    """Raise `SignatureError` if `signed_at` lies in the future, beyond what clocks may differ."""
    if signed_at - now > _SKEW:
        raise SignatureError(
            code, f"the request is not valid yet: it begins at {signed_at:%Y-%m-%dT%H:%M:%SZ}"
        )


def check_not_over(code: str, expires_at: datetime, now: datetime) -> None:
    """Raise `SignatureError` if `expires_at` is past."""
    if now > expires_at:
        raise SignatureError(
            code, f"the request has expired: it was good until {expires_at:%Y-%m-%dT%H:%M:%SZ}"
        )


def _aware(moment: datetime) -> datetime:
    # AWS reads a time without a zone as UTC.
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return aware.astimezone(UTC)
