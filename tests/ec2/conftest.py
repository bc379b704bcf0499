"""A simulated cloud behind the EC2 adapter, with the keys of two accounts, over real HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import boto3
import pytest
from botocore.config import Config
from botocore.validate import ParamValidator
from sqlalchemy import event

from pycloud.aws.actions import Action, Answer
from pycloud.aws.callers import Caller, Credential
from pycloud.aws.models import service_model
from pycloud.drivers.serve import WsgiServer
from pycloud.ec2 import EC2App
from pycloud.ids import ADMIN_ACCOUNT, AccountId
from pycloud.network.addresses import IPPool
from pycloud.network.elastic import ElasticAddresses
from pycloud.state.schema import accounts
from pycloud.testing.world import SimWorld
from tests.ec2.things import STRANGER, Things, make_things

_NO_RETRIES = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60)


@attrs.frozen(eq=False)
class Served:
    """A cloud, and where it answers."""

    world: SimWorld
    app: EC2App
    url: str

    def client(self, service: str = "ec2", account: AccountId = ADMIN_ACCOUNT) -> Any:
        """Return boto3's client of an account."""
        return boto3.client(service, **self.options(account))

    def options(self, account: AccountId = ADMIN_ACCOUNT) -> dict[str, Any]:
        """Return how boto3 finds this cloud."""
        return {
            "endpoint_url": self.url,
            "region_name": "pycloud",
            "aws_access_key_id": f"AKIA{account}",
            "aws_secret_access_key": "secret",
            "config": _NO_RETRIES,
        }


class AccountKeys:
    """One key for each account, named after it."""

    def find(self, access_key_id: str, session_token: str | None) -> Credential | None:
        """Return the credential of `AKIA<account>`."""
        account = AccountId(access_key_id.removeprefix("AKIA"))
        if session_token is not None or account not in (ADMIN_ACCOUNT, STRANGER):
            return None
        return Credential("secret", Caller(account, f"AIDA{account}", "admin"))


@contextmanager
def keep_ticking(world: SimWorld) -> Iterator[None]:
    """Turn the loop in a thread, as a cloud's own does that is not simulated."""
    done = threading.Event()

    def turn() -> None:
        while not done.wait(0.05):
            world.cloud.tick()

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def make_world() -> Iterator[SimWorld]:
    """Two nodes in two zones, public addresses, users, and the stranger's account."""
    with SimWorld(nodes=2, zones=("cluster01", "cluster02")) as world:
        state = world.cloud.state
        world.cloud.elastic = ElasticAddresses(
            state, IPPool(state, "203.0.113.0/28", name="public")
        )
        with state.transaction() as tx:
            tx.execute(accounts.insert().values(id=STRANGER, name="stranger", created_at=tx.now))
        yield world


@pytest.fixture
def world() -> Iterator[SimWorld]:
    with make_world() as world:
        yield world


class Stage:
    """One server for all tests: each cloud answers at a path of its own."""

    def __init__(self) -> None:
        self.url = ""
        self._apps: dict[str, EC2App] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        return self._apps[environ["PATH_INFO"].split("/")[1]](environ, start_response)

    def mount(self, world: SimWorld) -> Served:
        """Serve a cloud from now on, with a key for each account."""
        return self.mount_app(world, EC2App(world.cloud, keys=AccountKeys()))

    def mount_app(self, world: SimWorld, app: EC2App) -> Served:
        """Serve it through this adapter."""
        name = str(len(self._apps) + 1)
        self._apps[name] = app
        return Served(world, app, f"{self.url}/{name}")


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    stage = Stage()
    with WsgiServer(stage, body_bytes=2 * 1024**2) as server:
        stage.url = f"http://127.0.0.1:{server.port}"
        yield stage


@pytest.fixture
def served(world: SimWorld, stage: Stage) -> Served:
    return stage.mount(world)


@pytest.fixture(scope="module")
def shared(stage: Stage) -> Iterator[Served]:
    """A cloud for all tests of a module that don't mind what the others leave there."""
    with make_world() as world:
        yield stage.mount(world)


@pytest.fixture(scope="module")
def api(shared: Served) -> Any:
    return shared.client()


@pytest.fixture(scope="module")
def emi(shared: Served) -> str:
    return str(shared.world.images.machine.id)


@pytest.fixture(scope="session")
def things(stage: Stage) -> Iterator[Things]:
    """A cloud with one of each thing; tests that use it change nothing."""
    with make_world() as world:
        yield make_things(stage.mount(world))


@pytest.fixture
def ec2(served: Served) -> Any:
    return served.client()


@pytest.fixture
def stranger(served: Served) -> Any:
    return served.client(account=STRANGER)


@pytest.fixture
def image(world: SimWorld) -> str:
    return str(world.images.machine.id)


@pytest.fixture(scope="session", autouse=True)
def _validated() -> Iterator[None]:
    """See that every answer has what the model requires, of the right types."""
    write: Callable[[Action, Answer], str] = Action.write

    def write_validated(action: Action, answer: Answer) -> str:
        shape = service_model(action.service).operation_model(action.name).output_shape
        if shape is not None:
            report = ParamValidator().validate(_present(answer or {}), shape)
            assert not report.has_errors(), f"{action.name}: {report.generate_report()}"
        return write(action, answer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Action, "write", write_validated)
        yield


def _present(value: Any) -> Any:
    """Members that are None are not written."""
    if isinstance(value, dict):
        return {key: _present(inner) for key, inner in value.items() if inner is not None}
    return [_present(inner) for inner in value] if isinstance(value, list) else value


@contextmanager
def counted_statements(served: Served) -> Iterator[list[str]]:
    """Give the statements that the cloud's database runs meanwhile."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_others: Any) -> None:
        statements.append(statement)

    engine = served.world.cloud.state.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)
