"""`S3Error`: a refusal that says something in its headers too."""

from __future__ import annotations

from collections.abc import Sequence

from pycloud.aws.errors import AWSError


class S3Error(AWSError):
    """A refusal with AWS's `code`, a `message` for people, `headers` of its own, and
    an `http_status` where it is not the code's."""

    def __init__(
        self,
        code: str,
        message: str,
        headers: Sequence[tuple[str, str]] = (),
        *,
        http_status: int | None = None,
    ) -> None:
        super().__init__(code, message)
        self.headers = tuple(headers)
        self.http_status = http_status
