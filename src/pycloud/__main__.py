"""`python -m pycloud`: what is asked of a cloud's home from the command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs

from pycloud.errors import InvalidValue, PyCloudError
from pycloud.identity.identity import Identity
from pycloud.identity.sealing import Seal
from pycloud.state.sqlite import SQLiteState


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; return the exit status."""
    options = _options(arguments)
    try:
        _write_credentials(options)
    except (PyCloudError, OSError) as error:
        print(f"python -m pycloud: {error}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pycloud", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    credentials = commands.add_parser(
        "credentials", help="write the archive with which tools find the cloud and are let in"
    )
    credentials.add_argument("archive", type=Path, help="the file to write, such as admin.zip")
    credentials.add_argument("--home", type=Path, required=True, help="the cloud's directory")
    credentials.add_argument("--account", default="admin", help="its name or number")
    credentials.add_argument("--user", default="admin", help="default: %(default)s")
    credentials.add_argument("--ec2-url", help="default: where the cloud was last served")
    credentials.add_argument("--s3-url", help="default: where the cloud was last served")
    credentials.add_argument("--force", action="store_true", help="replace the file")
    return parser.parse_args(arguments)


def _write_credentials(options: argparse.Namespace) -> None:
    database = options.home / "cloud.db"
    if not database.exists():
        raise InvalidValue(f"{options.home} is no cloud's home: there is no {database.name} in it")
    if options.archive.exists() and not options.force:
        raise InvalidValue(f"{options.archive} is there already: give --force to replace it")
    with SQLiteState(database) as state:
        identity = Identity(state, Seal.from_file(options.home / "seal.key"))
        account = identity.accounts.get(options.account)
        given = {"ec2": options.ec2_url, "s3": options.s3_url}
        at = attrs.evolve(
            identity.endpoints(), **{name: url for name, url in given.items() if url is not None}
        )
        archive = identity.credentials_zip(options.user, account=account.id, at=at)
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if options.force else os.O_EXCL)
    with os.fdopen(os.open(options.archive, flags, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(archive)


if __name__ == "__main__":
    sys.exit(main())
