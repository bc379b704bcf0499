"""A cloud inside a web service of one's own: Flask's routes at `/`, the EC2 API at `/cloud`, and the
service's own customers with its own access keys.

    python -m examples.inside_flask        (needs Flask: pip install flask 'pycloud[simulated]')

    curl -X POST http://127.0.0.1:5000/customers/alice
    aws --endpoint-url http://127.0.0.1:5000/cloud ec2 describe-images

Flask stands for whatever speaks WSGI: `EC2App` is a plain callable. The cloud is simulated, and the
customers are forgotten when it ends.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attrs
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import pycloud
from pycloud.aws.callers import Caller, Credential
from pycloud.drivers.files import FileBlobs
from pycloud.drivers.serve import WsgiServer
from pycloud.drivers.sim import sim_node
from pycloud.ec2 import EC2App
from pycloud.identity.accounts import AccountStore
from pycloud.testing.images import register_sim_images

PORT = 5000


@attrs.frozen
class Customer:
    """Somebody who signed up with the service. What they launch belongs to their account."""

    name: str
    account: pycloud.AccountId
    key: str
    secret: str = attrs.field(repr=False)


class CustomerKeys:
    """The access keys of the service's customers, as `EC2App` asks for them."""

    def __init__(self, customers: Mapping[str, Customer]) -> None:
        self._customers = customers

    def find(self, access_key_id: str, session_token: str | None) -> Credential | None:
        """Return whose key it is, or None."""
        customer = self._customers.get(access_key_id)
        if customer is None or session_token is not None:
            return None
        return Credential(customer.secret, Caller(customer.account, customer.key, customer.name))


def make_service(cloud: pycloud.CloudController) -> Flask:
    """Return the web service, with the cloud below `/cloud`."""
    service = Flask(__name__)
    customers: dict[str, Customer] = {}

    @service.get("/")
    def front() -> str:
        machines = len(cloud.describe_instances(account=None))
        return f"{len(customers)} customers have {machines} machines here\n"

    @service.post("/customers/<name>")
    def sign_up(name: str) -> dict[str, str]:
        account = AccountStore(cloud.state).create(name)
        key, secret = f"SHOP{secrets.token_hex(8)}", secrets.token_urlsafe(30)
        customers[key] = Customer(name, account.id, key, secret)
        return {"account": account.id, "key": key, "secret": secret}

    @service.errorhandler(pycloud.Refused)
    def refuse(refusal: pycloud.Refused) -> tuple[str, int]:
        return f"{refusal}\n", 400

    ec2 = EC2App(cloud, keys=CustomerKeys(customers))
    service.wsgi_app = DispatcherMiddleware(service.wsgi_app, {"/cloud": ec2})  # type: ignore[method-assign]
    return service


@contextmanager
def simulated_cloud(home: Path) -> Iterator[pycloud.CloudController]:
    """Open a cloud of two nodes that do not exist, with an image that all may launch."""
    state = pycloud.SQLiteState(home / "cloud.db")
    buckets = pycloud.BucketStore(state, FileBlobs(home / "blobs"))
    nodes = [sim_node("node1"), sim_node("node2")]
    cloud = pycloud.CloudController(
        state,
        scheduler=pycloud.ClusterScheduler(state, nodes),
        addresses=pycloud.IPPool(state, "10.11.0.0/24"),
        images=pycloud.ImageRegistry(state, buckets),
    )
    with cloud:
        machine = register_sim_images(cloud.images).machine
        cloud.images.share(machine.id, public=True)
        yield cloud


def main() -> None:
    """Serve until Ctrl-C."""
    with (
        tempfile.TemporaryDirectory() as home,
        simulated_cloud(Path(home)) as cloud,
        WsgiServer(make_service(cloud), port=PORT) as server,
    ):
        print(f"the service is at http://127.0.0.1:{server.port}/, the cloud at /cloud")
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
