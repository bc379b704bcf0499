"""The archive of credentials: `unzip admin.zip && source eucarc`, as in Eucalyptus."""

from __future__ import annotations

import hashlib
import io
import shlex
import zipfile
from collections.abc import Mapping

import attrs

from pycloud.errors import InvalidValue
from pycloud.identity.certificates import Certificate
from pycloud.identity.users import User
from pycloud.ids import AccessKeyId

_RIGHTS = 0o600
_EPOCH = (1980, 1, 1, 0, 0, 0)
_HERE = (
    '_here="${BASH_SOURCE:-$0}"\n'
    '[ -z "${ZSH_VERSION-}" ] || eval \'_here="${(%):-%x}"\'\n'
    "# A plain sh does not tell which file it reads: then it must be in the working directory.\n"
    'case "$_here" in */eucarc | eucarc) ;; *) _here=./eucarc ;; esac\n'
    '[ -e "$_here" ] || echo "eucarc: first change to the directory that it is in" >&2\n'
    'EUCA_KEY_DIR=$(CDPATH="" command cd -- "$(dirname -- "$_here")" && pwd)\n'
    "export EUCA_KEY_DIR\n"
    "unset _here\n"
    "# The token of another cloud's session would be sent along.\n"
    "unset AWS_SESSION_TOKEN AWS_SECURITY_TOKEN\n"
)


def _check_url(_endpoints: object, service: attrs.Attribute[str], url: str) -> None:
    if not (url.startswith(("http://", "https://")) and url.isprintable()):
        raise InvalidValue(
            f"{service.name} answers at a URL such as http://cloud.example:8773/, not {url!r}"
        )


@attrs.frozen
class Endpoints:
    """Where the services answer. Raises `InvalidValue` for what is no URL."""

    ec2: str = attrs.field(default="http://127.0.0.1:8773/", validator=_check_url)
    s3: str = attrs.field(default="http://127.0.0.1:8774/", validator=_check_url)


def credentials_zip(
    *,
    user: User,
    access_key_id: AccessKeyId,
    secret: str,
    certificate: Certificate,
    private_key: str,
    cloud_certificate: str,
    region: str,
    at: Endpoints,
) -> bytes:
    """Return the archive: files that only their owner may read."""
    stem = f"euca2-{user.name}-{hashlib.sha256(certificate.pem.encode()).hexdigest()[:8]}"
    variables = _variables(user, access_key_id, secret, region, at)
    files = {
        "eucarc": _eucarc(variables, stem),
        "iamrc": f"AWSAccessKeyId={access_key_id}\nAWSSecretKey={secret}\n",
        "cloud-cert.pem": cloud_certificate,
        f"{stem}-pk.pem": private_key,
        f"{stem}-cert.pem": certificate.pem,
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = (0o100000 | _RIGHTS) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, text)
    return archive.getvalue()


def _variables(
    user: User, access_key_id: str, secret: str, region: str, at: Endpoints
) -> Mapping[str, str]:
    return {
        "EC2_URL": at.ec2,
        "S3_URL": at.s3,
        "EUARE_URL": at.ec2,
        "TOKEN_URL": at.ec2,
        "EC2_ACCOUNT_NUMBER": user.account,
        "EC2_USER_ID": user.account,
        "EC2_ACCESS_KEY": access_key_id,
        "EC2_SECRET_KEY": secret,
        "AWS_ACCESS_KEY": access_key_id,
        "AWS_SECRET_KEY": secret,
        "AWS_ACCESS_KEY_ID": access_key_id,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_ENDPOINT_URL_EC2": at.ec2,
        "AWS_ENDPOINT_URL_S3": at.s3,
        "AWS_ENDPOINT_URL_STS": at.ec2,
        "AWS_ENDPOINT_URL_IAM": at.ec2,
    }


def _eucarc(variables: Mapping[str, str], stem: str) -> str:
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    in_folder = {
        "EC2_PRIVATE_KEY": f"{stem}-pk.pem",
        "EC2_CERT": f"{stem}-cert.pem",
        "EUCALYPTUS_CERT": "cloud-cert.pem",
        "AWS_CREDENTIAL_FILE": "iamrc",
    }
    paths = [
        f'export {name}="$EUCA_KEY_DIR"/{shlex.quote(file)}\n' for name, file in in_folder.items()
    ]
    return f"# Read by the shell: . ./eucarc\n{_HERE}{''.join(paths)}{''.join(lines)}"
