"""Instance types, as data: the defaults are below, and a state keeps what its users changed."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
from sqlalchemy import delete, select

from pycloud.errors import InvalidValue, NotFound
from pycloud.names import checked_name
from pycloud.state.database import Database
from pycloud.state.schema import instance_types
from pycloud.state.transaction import Transaction

_CHANGED = select(instance_types)


@attrs.frozen
class InstanceType:
    """How large an instance is."""

    name: str
    cpus: int
    memory_mib: int
    disk_gib: int

    def __str__(self) -> str:
        cores = "1 core" if self.cpus == 1 else f"{self.cpus} cores"
        return f"{self.name} ({cores}, {self.memory_mib} MiB, {self.disk_gib} GiB)"


def checked_size(kind: InstanceType) -> InstanceType:
    """Return `kind` if an instance can be that large; raise `InvalidValue` otherwise.

    >>> checked_size(InstanceType("tiny", cpus=1, memory_mib=128, disk_gib=1)).name
    'tiny'
    """
    for size in (kind.cpus, kind.memory_mib, kind.disk_gib):
        if not isinstance(size, int) or size < 1:
            raise InvalidValue(f"{kind}: cores, memory and disk are whole numbers from 1 on")
    return kind


DEFAULT_TYPES = tuple(
    InstanceType(*row)
    for row in (
        ("t1.micro", 1, 256, 5),
        ("m1.small", 1, 256, 5),
        ("m1.medium", 1, 512, 10),
        ("c1.medium", 2, 512, 10),
        ("m1.large", 2, 512, 10),
        ("m1.xlarge", 2, 1024, 10),
        ("m2.xlarge", 2, 2048, 10),
        ("c1.xlarge", 2, 2048, 10),
        ("m3.xlarge", 4, 2048, 15),
        ("m2.2xlarge", 2, 4096, 30),
        ("m3.2xlarge", 4, 4096, 30),
        ("cc1.4xlarge", 8, 3072, 60),
        ("m2.4xlarge", 8, 4096, 60),
        ("hi1.4xlarge", 8, 6144, 120),
        ("cc2.8xlarge", 16, 6144, 120),
        ("cg1.4xlarge", 16, 12288, 200),
        ("cr1.8xlarge", 16, 16384, 240),
        ("hs1.8xlarge", 48, 119808, 24000),
    )
)
"""The types of Eucalyptus 3, cores / MiB / GiB ("Instance types", Eucalyptus administration
guide).
"""


class InstanceTypes:
    """The types that can be launched: `defaults`, with what this state changed.

    >>> import pycloud
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     types = pycloud.InstanceTypes(state)
    ...     types.put(pycloud.InstanceType("tiny", cpus=1, memory_mib=128, disk_gib=1))
    ...     print(types.get("tiny"), "|", types.get("m1.small"))
    tiny (1 core, 128 MiB, 1 GiB) | m1.small (1 core, 256 MiB, 5 GiB)
    """

    def __init__(self, state: Database, defaults: Iterable[InstanceType] = DEFAULT_TYPES) -> None:
        self.state = state
        self._defaults = {kind.name: kind for kind in defaults}

    def list(self) -> list[InstanceType]:
        """Return all types, the smallest first (disk, memory, cores, name: the order of the
        Eucalyptus tools).
        """
        with self.state.reading() as tx:
            found = self._all(tx).values()
        return sorted(
            found, key=lambda kind: (kind.disk_gib, kind.memory_mib, kind.cpus, kind.name)
        )

    def get(self, name: str) -> InstanceType:
        """Return the type. Raises `NotFound`."""
        with self.state.reading() as tx:
            return self.find(tx, name)

    def find(self, tx: Transaction, name: str) -> InstanceType:
        """Return the type, as part of `tx`. Raises `NotFound`."""
        try:
            return self._all(tx)[name]
        except KeyError:
            raise NotFound("instance type", name) from None

    def put(self, kind: InstanceType) -> None:
        """Add a type or change it; instances keep the size they were launched with. Raises
        `InvalidValue`.
        """
        checked_name("instance type", kind.name)
        self._write(checked_size(kind), removed=False)

    def remove(self, name: str) -> None:
        """Take a type away; instances of it stay. Raises `NotFound`."""
        self._write(self.get(name), removed=True)

    def _write(self, kind: InstanceType, *, removed: bool) -> None:
        with self.state.transaction() as tx:
            tx.execute(delete(instance_types).where(instance_types.c.name == kind.name))
            tx.execute(instance_types.insert().values(**attrs.asdict(kind), removed=removed))

    def _all(self, tx: Transaction) -> dict[str, InstanceType]:
        found = dict(self._defaults)
        for row in tx.execute(_CHANGED):
            found.pop(row.name, None)
            if not row.removed:
                found[row.name] = InstanceType(row.name, row.cpus, row.memory_mib, row.disk_gib)
        return found
