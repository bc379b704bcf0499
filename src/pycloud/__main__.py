"""`python -m pycloud`: what is asked of a cloud's home from the command line."""

from __future__ import annotations

import argparse
import os
import secrets
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
    credentials.add_argument(
        "--account", default="admin", help="its name or number; default: %(default)s"
    )
    credentials.add_argument("--user", default="admin", help="default: %(default)s")
    credentials.add_argument("--ec2-url", help="default: where the cloud was last served")
    credentials.add_argument("--s3-url", help="default: where the cloud was last served")
    credentials.add_argument("--region", default="pycloud", help="default: %(default)s")
    credentials.add_argument("--force", action="store_true", help="replace the file")
    return parser.parse_args(arguments)


def _write_credentials(options: argparse.Namespace) -> None:
    archive: Path = options.archive
    if archive.is_dir() or not archive.parent.is_dir():
        raise InvalidValue(f"{archive} is no file that can be written: its directory must exist")
    if archive.exists() and not options.force:
        raise InvalidValue(f"{archive} is there already: give --force to replace it")
    database = _found(options.home, "cloud.db", "is no cloud's home")
    key = _found(options.home, "seal.key", "lacks the key with which its secrets are sealed")
    seal = Seal.from_file(key)
    with SQLiteState(database) as state:
        identity = Identity(state, seal)
        account = identity.accounts.get(options.account)
        given = {"ec2": options.ec2_url, "s3": options.s3_url}
        at = attrs.evolve(
            identity.endpoints(), **{name: url for name, url in given.items() if url is not None}
        )
        content = identity.credentials_zip(
            options.user, account=account.id, region=options.region, at=at
        )
    _write(archive, content, replace=options.force)


def _found(home: Path, name: str, otherwise: str) -> Path:
    if not (home / name).is_file():
        raise InvalidValue(f"{home} {otherwise}: there is no {name} in it")
    return home / name


def _write(path: Path, content: bytes, *, replace: bool) -> None:
    """Write the file, for its owner alone. What `path` was is never written to: it may be a link to
    somewhere else.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}") if replace else path
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)


if __name__ == "__main__":
    sys.exit(main())
