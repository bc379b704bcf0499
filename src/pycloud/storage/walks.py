"""Statements that give a page of a table in the order of its keys, with what those have in common.

With a delimiter the database walks: from a key it steps to the next one, from a key that has a
common prefix to the first one behind all that have it. So a page costs as many steps as it has
entries, however many keys there are; and it is one statement, a recursive one.
"""

from __future__ import annotations

from typing import Any

import attrs
from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Integer,
    LargeBinary,
    Select,
    Table,
    and_,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from pycloud.storage.names import encoded_text

_END = b"\xff"
"""No UTF-8 has this byte, so it is behind all keys."""


class _Position(GenericFunction[int]):
    """Where bytes are found in others, counted from 1; 0 if they are not."""

    type = Integer()
    inherit_cache = True


class _Joined(GenericFunction[bytes]):
    """Bytes, and others after them."""

    type = LargeBinary()
    inherit_cache = True


@compiles(_Position, "sqlite")
def _position_in_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(_Position, "postgresql")
def _position_in_postgres(element: Any, compiler: Any, **options: Any) -> str:
    return f"pg_catalog.position({compiler.process(element.clauses, **options)})"


@compiles(_Joined, "sqlite")
def _joined_in_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    one, other = (compiler.process(clause, **options) for clause in element.clauses)
    return f"CAST({one} || {other} AS BLOB)"  # what || gives is text, whatever it was given


@compiles(_Joined, "postgresql")
def _joined_in_postgres(element: Any, compiler: Any, **options: Any) -> str:
    one, other = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({one} || {other})"


def _bytes(name: str) -> Any:
    return bindparam(name, type_=LargeBinary)


def _number(name: str) -> Any:
    return bindparam(name, type_=Integer)


@attrs.frozen
class Page:
    """Which page is wanted."""

    bucket: str
    prefix: str
    delimiter: str
    after: str
    most: int
    within: object = None
    """With a value, entries of the key `after` itself are given too, if they come after it."""

    def values(self) -> dict[str, Any]:
        """Return what the statements are run with. They give one row more than is wanted."""
        prefix = encoded_text(self.prefix, "the prefix")
        delimiter = encoded_text(self.delimiter, "the delimiter")
        after = encoded_text(self.after, "the marker")
        return {
            "b_bucket": self.bucket,
            "b_start": max(prefix, self._start(after, prefix, delimiter)),
            "b_end": _successor(prefix) if prefix else _END,
            "b_prefix": len(prefix),
            "b_delimiter": delimiter,
            "b_width": len(delimiter),
            "b_beyond": _successor(delimiter) if delimiter else b"",
            "b_most": self.most + 1,
            "b_within_key": after if self.within is not None else b"",
            "b_within": self.within,
        }

    def common(self, key: bytes) -> str | None:
        """Return the common prefix that the key has."""
        prefix, delimiter = self.prefix.encode(), self.delimiter.encode()
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        return None if at < 0 else key[: at + len(delimiter)].decode()

    def _start(self, after: bytes, prefix: bytes, delimiter: bytes) -> bytes:
        """Return the first key that may be given."""
        if not after:
            return b""
        if delimiter and after.startswith(prefix):
            at = after.find(delimiter, len(prefix))
            if at >= 0:  # a common prefix, or something in it: it was given already
                return after[:at] + _successor(delimiter)
        return after if self.within is not None else after + b"\x00"


class Catalog:
    """The statements for one table with the columns `bucket` and `key`; entries of one key are
    ordered by the column `second`.
    """

    def __init__(
        self, columns: list[Column[Any]], second: Column[Any], only: ColumnElement[bool]
    ) -> None:
        self._table = second.table
        assert isinstance(self._table, Table)  # a column of the schema
        key = self._table.c.key
        self._only = only
        after = or_(
            key != _bytes("b_within_key"), second > bindparam("b_within", type_=second.type)
        )
        self.plain: Select[Any] = (
            select(*columns)
            .where(self._inside(), key >= _bytes("b_start"), after)
            .order_by(key, second)
            .limit(_number("b_most"))
        )
        """Rows of `columns`, in order."""
        walk = self._walk()
        shared = _shared(walk.c.key)
        whole = and_(
            shared == 0,
            self._table.c.bucket == bindparam("b_bucket"),
            key == walk.c.key,
            only,
            after,
        )
        self.walking: Select[Any] = (
            select(walk.c.key.label("walked"), shared.label("shared"), *columns)
            .select_from(walk.outerjoin(self._table, whole))
            .where(walk.c.key.is_not(None))
            .order_by(walk.c.step, second)
            .limit(_number("b_most"))
        )
        """Rows of `walked`, a key; `shared`, how many bytes of it are a common prefix, or 0; and
        the `columns`, of nothing if there are any.
        """

    def _inside(self) -> ColumnElement[bool]:
        bucket, key = self._table.c.bucket, self._table.c.key
        return and_(bucket == bindparam("b_bucket"), key < _bytes("b_end"), self._only)

    def _next(self, start: Any) -> Select[Any]:
        key = self._table.c.key
        return select(key).where(self._inside(), key >= start).order_by(key).limit(1)

    def _walk(self) -> CTE:
        first = self._next(_bytes("b_start")).subquery()
        walk = select(first.c.key.label("key"), literal(1).label("step")).cte(recursive=True)
        shared = _shared(walk.c.key)
        common = func.substr(walk.c.key, 1, shared - _number("b_width"), type_=LargeBinary)
        start = case(
            (shared > 0, _Joined(common, _bytes("b_beyond"))),
            else_=_Joined(walk.c.key, literal(b"\x00", LargeBinary)),
        )
        following = self._next(start).correlate(walk).scalar_subquery()
        step = select(following, walk.c.step + 1).where(
            walk.c.key.is_not(None), walk.c.step < _number("b_most")
        )
        return walk.union_all(step)


def _shared(key: ColumnElement[bytes]) -> ColumnElement[int]:
    """Return how many bytes of the key are a common prefix."""
    rest = func.substr(key, _number("b_prefix") + 1, type_=LargeBinary)
    position = _Position(rest, _bytes("b_delimiter"))
    shared = _number("b_prefix") + position + _number("b_width") - 1
    return case((position > 0, shared), else_=0)


def _successor(text: bytes) -> bytes:
    """Return the first bytes that come after all that begin with `text`, which is UTF-8."""
    return text[:-1] + bytes([text[-1] + 1])
