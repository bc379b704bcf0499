"""The EC2 adapter beside moto's server, each in a process of its own, over loopback.

The peer lives in an environment of its own, `.venv-bench`, made once by

    python -m venv .venv-bench && .venv-bench/bin/pip install -U pip
    .venv-bench/bin/pip install --group bench

Our instances have two tags. moto's have none, unless `--tag-peer` is given: with tags it needs three times as
long for all of them, and the whole run more than five minutes. Ours are durable and are carried out, by
simulated hosts, while the figures are taken; moto keeps its own in memory.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import signatures
from benchmarks.ec2_served import MOTO, Connection, Served, empty_served, moto_served, served
from benchmarks.postgres import private_server
from benchmarks.report import median, report, seconds

INSTANCES = 10_000
PAGE = 1000
PERIOD_S = 8.0
TAGS = {"Name": "web", "team": "infrastructure"}


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tag-peer", action="store_true", help="give moto's instances tags, too")
    options = parser.parse_args()
    if not MOTO.exists():
        raise SystemExit(f"{MOTO} is missing: see the beginning of {Path(__file__).name}")
    measure_start()
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder)) as ours,
        moto_served() as moto,
    ):
        loading = threading.Thread(target=load, args=(moto, TAGS if options.tag_peer else None))
        loading.start()
        load(ours, TAGS)
        settle(ours)
        loading.join()
        measure_pages(ours, moto)
        measure_one(ours, moto)
        measure_launches(ours, moto)
    measure_processes()
    signatures.main()


# The start


def measure_start(runs: int = 3) -> None:
    """A server that holds nothing yet, and its first request, which lists the instances."""
    begun: dict[str, list[float]] = {"ours": [], "moto": []}
    first: dict[str, list[float]] = {"ours": [], "moto": []}
    for _ in range(runs):
        for name, start in (("ours", empty_served), ("moto", moto_served)):
            began = time.perf_counter()
            with start() as server, Connection(server) as connection:
                first[name].append(seconds(lambda: connection.ask("DescribeInstances")))
                begun[name].append(time.perf_counter() - began)
    ours, peer = median(first["ours"]), median(first["moto"])
    report("first request after the start", ours, "s", "<= 0.5 s", met=ours <= 0.5, peer=peer)
    ours, peer = median(begun["ours"]), median(begun["moto"])
    report("from a process's start to its first answer", ours, "s", "stated", met=True, peer=peer)


# Describing


def measure_pages(ours: Served, moto: Served) -> None:
    """All instances, by pages: what the server needs, and what boto3 needs for reading them.

    moto's pages count reservations, so it answers all at once.
    """
    with Connection(ours) as mine, Connection(moto) as theirs:
        peer_cpu_s = moto.cpu_s()
        peer = seconds(lambda: count_pages(theirs))
        peer_cpu_s = moto.cpu_s() - peer_cpu_s
        cpu_s = ours.cpu_s()
        values = [seconds(lambda: count_pages(mine)) for _ in range(5)]
        cpu_s = (ours.cpu_s() - cpu_s) / len(values)
    value = median(values)
    name = f"DescribeInstances, {INSTANCES} in pages of {PAGE}; peer: moto"
    met = value <= 1.5 and value * 20 <= peer
    report(name, value, "s", "<= 1.5 s and 1/20 of the peer", met=met, peer=peer)
    name = "its processor time, with that of the loop meanwhile; peer: moto"
    report(name, cpu_s, "s of CPU", "stated", met=True, peer=peer_cpu_s)
    client = ours.client()
    values = [seconds(lambda: read_pages(client)) for _ in range(3)]
    whole = median(values)
    name = "the same read by boto3; peer: the server alone"
    report(name, whole, "s", "stated", met=True, peer=value)


def count_pages(connection: Connection) -> None:
    """Ask for all pages; see that all instances are there."""
    found, token = 0, None
    while True:
        following: dict[str, str] = {} if token is None else {"NextToken": token}
        answer = connection.ask("DescribeInstances", MaxResults=str(PAGE), **following)
        found += answer.count(b"<ebsOptimized>")
        more = re.search(rb"<nextToken>([^<]+)</nextToken>", answer)
        if more is None:
            break
        token = more[1].decode()
    assert found >= INSTANCES, found


def read_pages(client: Any) -> None:
    """Read all pages as people do."""
    pages = client.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": PAGE})
    found = sum(len(one["Instances"]) for page in pages for one in page["Reservations"])
    assert found >= INSTANCES, found


def measure_one(ours: Served, moto: Served) -> None:
    """One instance among all of them, at boto3, which takes its share of the processor too."""
    clients = [server.client() for server in (ours, moto)]
    sides = [
        (one, launch(one, server.image, 1))
        for one, server in zip(clients, (ours, moto), strict=True)
    ]

    def ask(side: int) -> float:
        client, id_ = sides[side]
        return seconds(lambda: client.describe_instances(InstanceIds=[id_]))

    began_s = ours.cpu_s(), moto.cpu_s()
    pairs = [(ask(0), ask(1)) for _ in range(101)]
    cpu_ms = [
        (server.cpu_s() - began) * 1e3 / 101
        for server, began in zip((ours, moto), began_s, strict=True)
    ]
    value, peer = (median(times) * 1e3 for times in zip(*pairs[1:], strict=True))
    name = f"DescribeInstances of one among {INSTANCES}, at boto3"
    report(name, value, "ms", "<= 8 ms", met=value <= 8, peer=peer)
    report(
        "its processor time at the server",
        cpu_ms[0],
        "ms of CPU",
        "stated",
        met=True,
        peer=cpu_ms[1],
    )


# Launching


def measure_launches(ours: Served, moto: Served) -> None:
    """One instance after the other, at boto3, each of ours durably."""
    sides = [(ours, ours.client()), (moto, moto.client())]

    def run(side: int) -> float:
        server, client = sides[side]
        return seconds(lambda: launch(client, server.image, 1))

    pairs = [(run(0), run(1)) for _ in range(101)][1:]
    value, peer = (1 / median(times) for times in zip(*pairs, strict=True))
    name = f"RunInstances, one by one among {INSTANCES}; peer: moto, in memory"
    report(name, value, "1/s", ">= 2 x the peer", met=value >= 2 * peer, peer=peer)


def load(server: Served, tags: dict[str, str] | None = None) -> None:
    """Run all instances."""
    client = server.client()
    for _ in range(INSTANCES // PAGE):
        launch(client, server.image, PAGE, tags)


def launch(client: Any, image: str, count: int, tags: dict[str, str] | None = None) -> str:
    """Run instances with tags; return the id of the first."""
    given = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
    specifications = [{"ResourceType": "instance", "Tags": given}] if given else []
    answer = client.run_instances(
        ImageId=image,
        MinCount=count,
        MaxCount=count,
        InstanceType="m1.small",
        TagSpecifications=specifications,
    )
    return str(answer["Instances"][0]["InstanceId"])


def settle(server: Served) -> None:
    """Return when all instances run."""
    client = server.client()
    pending = [{"Name": "instance-state-name", "Values": ["pending"]}]
    while client.describe_instances(Filters=pending, MaxResults=5)["Reservations"]:
        time.sleep(0.5)


# Several processes


def measure_processes() -> None:
    """Two servers on one PostgreSQL, beside one; four clients in either case.

    All of them, and PostgreSQL, share the processors of this machine: where these are few, that what an
    answer costs stays the same says more than the rate.
    """
    for action in ("DescribeInstances", "RunInstances"):
        one, two = rate_of(1, action), rate_of(2, action)
        name = f"{action}, one instance, 2 processes on PostgreSQL; peer: 1 process"
        report(name, two[0], "1/s", "stated", met=True, peer=one[0])
        name = "processor time of the servers for each"
        report(name, two[1] * 1e3, "ms of CPU", "stated", met=True, peer=one[1] * 1e3)


def rate_of(processes: int, action: str) -> tuple[float, float]:
    """Return how many requests in a second so many servers answer, and their processor time for
    each.
    """
    with ExitStack() as stack:
        url = stack.enter_context(private_server())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = [stack.enter_context(served(folder, "--postgres", url)) for _ in range(processes)]
        image = servers[0].image
        id_ = launch(servers[0].client(), image, 100, TAGS)
        settle(servers[0])
        parameters = {
            "DescribeInstances": {"InstanceId.1": id_},
            "RunInstances": {"ImageId": image, "MinCount": "1", "MaxCount": "1"},
        }[action]
        before_s = sum(server.cpu_s() for server in servers)
        with ThreadPoolExecutor(4) as pool:
            asking = [
                pool.submit(count_answers, servers[number % processes], action, parameters)
                for number in range(4)
            ]
        answered = sum(one.result() for one in asking)
        spent_s = sum(server.cpu_s() for server in servers) - before_s
        return answered / PERIOD_S, spent_s / answered


def count_answers(server: Served, action: str, parameters: dict[str, str]) -> int:
    """Send the same signed request again and again; return how often it was answered."""
    with Connection(server) as connection:
        request = connection.signed(action, **parameters)
        connection.send(*request)
        until = time.perf_counter() + PERIOD_S
        answered = 0
        while time.perf_counter() < until:
            connection.send(*request)
            answered += 1
    return answered


if __name__ == "__main__":
    main()
