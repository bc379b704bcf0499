"""Every error that pycloud raises on purpose, drawn as one tree.

    PyCloudError
    ├── Refused                  nothing happened; raised at once, to the caller
    │   ├── InvalidValue         a value that can never be right (also a ValueError)
    │   │   └── InvalidBundle    (in `pycloud.compute`) an image's bundle is broken, or another cloud's
    │   ├── NotFound             no such thing, or not visible to the account (also a LookupError)
    │   ├── NotOwner             visible, but another account's to change
    │   ├── Duplicate            the name or address is taken
    │   ├── InUse                something still stands on it
    │   ├── WrongState           right request, wrong moment
    │   ├── Protected            it was asked to be kept from that
    │   ├── Locked               an object lock keeps the version from that
    │   ├── PreconditionFailed   what the caller made a condition is not so
    │   ├── BadDigest            the bytes are not those that were announced
    │   ├── Incomplete           fewer bytes came than were announced
    │   ├── TooSmall             less than it must at least be
    │   ├── WrongKey             the customer's key is missing, or another one
    │   ├── LimitExceeded        a limit of the product or of the account
    │   ├── NoRoom               no node fits; says which constraint failed, with counts
    │   ├── NoAddress            the pool is exhausted
    │   └── SignatureError       (in `pycloud.aws`) signed wrongly, or not by whom it says
    ├── DriverError              what a driver may raise; ends as a reason on a record, never in a caller's hands
    │   ├── TryLater             the world did not answer; the same call may succeed
    │   └── Cannot               the world answered no; the same call will fail again
    │       ├── DiskFull         there is no space left for it
    │       └── Damaged          the bytes are not those that were written: they are not given out
    ├── StateError
    │   ├── SchemaTooNew         the state was written by a newer pycloud
    │   └── StateBusy            another process held the database for too long
    └── NotSettled               `settle()` ran out of time (also a TimeoutError)

Kinds only: adapters map them to the codes of their protocol.
"""

from __future__ import annotations


class PyCloudError(Exception):
    """The root: `except PyCloudError` catches everything that pycloud raises on purpose."""


class Refused(PyCloudError):
    """The request was refused and nothing was changed."""


class InvalidValue(Refused, ValueError):
    """A value that can never be right; the text says which, and what would be."""


class NotFound(Refused, LookupError):
    """There is no such thing, or this account may not see it."""

    def __init__(self, kind: str, name: object) -> None:
        """Say which `kind` of thing was looked for, and the `name` or id that was not found."""
        super().__init__(f"there is no {kind} {name!r}")
        self.kind = kind
        self.name = name


class NotOwner(Refused):
    """The thing is shared with this account, but only its owner may do that."""


class Duplicate(Refused):
    """The name, id or address is taken already."""


class InUse(Refused):
    """Something still stands on the thing that was to go."""


class WrongState(Refused):
    """The request is sound, but not in the present state of the thing."""


class Protected(Refused):
    """The thing is protected from what was asked; its owner can take the protection back."""


class Locked(Refused):
    """An object lock (a retention or a legal hold) keeps the version from being deleted or changed."""


class PreconditionFailed(Refused):
    """What the caller made a condition is not so; `condition` names which one."""

    def __init__(self, condition: str, message: str) -> None:
        """Say which `condition` failed, such as `if_match`, and how."""
        super().__init__(message)
        self.condition = condition


class BadDigest(Refused):
    """The bytes that came do not have the checksum that was announced; `algorithm` names which."""

    def __init__(self, algorithm: str, expected: str, actual: str) -> None:
        """Say which checksum it is, and what it should have been and was."""
        super().__init__(f"the {algorithm} of the bytes is {actual}, not {expected}")
        self.algorithm = algorithm


class Incomplete(Refused):
    """Fewer bytes came than were announced."""


class TooSmall(Refused):
    """It is smaller than it must at least be."""


class WrongKey(Refused):
    """The object is encrypted with a customer's key, and none or another one was given; or a key
    was given where none is used.
    """


class LimitExceeded(Refused):
    """More than the product or the account allows."""


class NoRoom(Refused):
    """No node fits the request; the text names each constraint with counts."""


class NoAddress(Refused):
    """Every address of the pool is taken."""


class DriverError(PyCloudError):
    """The world did not do what a driver asked of it."""


class TryLater(DriverError):
    """The world did not answer in time or was busy: the same call may succeed later."""


class Cannot(DriverError):
    """The world answered no: the same call would fail again."""


class DiskFull(Cannot):
    """There is no space left for it."""


class Damaged(Cannot):
    """The bytes that were found are not those that were written. They are never given out."""


class StateError(PyCloudError):
    """The database cannot be used."""


class SchemaTooNew(StateError):
    """The state was written by a newer pycloud than this one."""


class StateBusy(StateError):
    """Another process held the database longer than we wait."""


class NotSettled(PyCloudError, TimeoutError):
    """Reality was not yet what was asked for when the time was over."""
