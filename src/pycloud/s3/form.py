"""A browser's form: its fields, and then the bytes of its file, as they come.

Source: "POST Object" (S3 API): the file is the last field, and what follows it is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs

from pycloud import limits
from pycloud.aws.errors import AWSError
from pycloud.aws.payloads import Readable

_PIECE_BYTES: Final = 64 * 1024


@attrs.frozen
class Form:
    """The fields before the file, by lower-case name, and the file."""

    fields: dict[str, str]
    file: FormFile
    file_name: str


class FormFile:
    """The bytes of the form's file. `check_size` is asked as they come, and at the end."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._ready = b""
        self._ended = False
        self.size_bytes = 0
        self.check_size: Callable[[int, bool], None] = lambda _size, _ended: None

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end. Raises `AWSError`."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_PIECE_BYTES), b""))
        if not self._ready and not self._ended:
            self._fill()
        given, self._ready = self._ready[:size], self._ready[size:]
        return given

    def _fill(self) -> None:
        event = next(self._events, None)
        self._ended = event is None
        if event is not None:
            self._ready = bytes(event)
            self.size_bytes += len(event)
        self.check_size(self.size_bytes, self._ended)


def read_form(content_type: str, stream: Readable) -> Form:
    """Return the form, read up to the bytes of its file. Raises `AWSError`."""
    from multipart import MultipartSegment, PushMultipartParser, parse_options_header

    kind, options = parse_options_header(content_type)
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise _malformed()
    parser = PushMultipartParser(options["boundary"], max_segment_count=limits.FORM_FIELDS)
    events = _events(parser, stream)
    fields: dict[str, str] = {}
    left = limits.FORM_BYTES
    for event in events:
        assert isinstance(event, MultipartSegment)  # each begins with one
        name = (event.name or "").lower()
        if name == "file":
            return Form(fields, FormFile(events), _base_name(event.filename or ""))
        value = _value(events, left - len(name))
        left -= len(name) + len(value)
        fields[name] = value.decode("utf-8", "replace")
    raise AWSError("InvalidArgument", "POST requires exactly one file upload per request.")


def _value(events: Iterator[Any], most_bytes: int) -> bytes:
    """Return the value of a field. Raises `AWSError` for one that is too long."""
    value = b""
    while (piece := next(events)) is not None:
        value += piece
        if len(value) > most_bytes:
            raise AWSError(
                "MaxPostPreDataLengthExceeded",
                "Your POST request fields preceding the upload file were too large.",
            )
    return value


def _events(parser: Any, stream: Readable) -> Iterator[Any]:
    from multipart import MultipartError

    try:
        while not parser.closed:
            piece = stream.read(_PIECE_BYTES)
            yield from parser.parse(piece)
            if not piece:
                break
    except MultipartError:
        raise _malformed() from None


def _base_name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _malformed() -> AWSError:
    return AWSError(
        "MalformedPOSTRequest",
        "The body of your POST request is not well-formed multipart/form-data.",
    )
