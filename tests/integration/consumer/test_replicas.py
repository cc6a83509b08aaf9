"""Replicas behind one name, as on a cluster: all are asked, and one takes another's place unnoticed."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cctv_consumer.handlers import ImageNet
from cctv_consumer.replicas import Replicas
from cctv_consumer.serving import Client, GrpcClient, ModelError, RestClient
from cctv_consumer.settings import ModelSettings
from waiting import until

from .conftest import HOSTS, LATER_HOSTS, Replica, Serving
from .names import Names

NAME = "tf-serving.test"
CALLERS = 2


class Asked:
    """Callers who ask all the time, and what went wrong."""

    def __init__(self, client: Client, picture: bytes) -> None:
        self._client, self._picture = client, picture
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for __ in range(CALLERS)]
        self.answered = 0
        self.failures: list[ModelError] = []

    def __enter__(self) -> Asked:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        model = ModelSettings(name="imagenet")
        while not self._stop.is_set():
            answer = self._client.predict(model, {"image_bytes": [self._picture]}, ImageNet.outputs, 15)
            try:
                assert answer.result()["probabilities"].argmax() == 968
                self.answered += 1
            except ModelError as error:
                self.failures.append(error)


@pytest.fixture
def names() -> Iterator[Names]:
    with Names() as running:
        yield running


@pytest.fixture(params=["grpc", "rest"])
def client(request: pytest.FixtureRequest, serving: Serving, names: Names) -> Iterator[Callable[[], Client]]:
    """Makes a client of the replicas that the name has."""
    grpc_port, rest_port = serving.replicas[0].ports
    with contextlib.ExitStack() as made:

        def make() -> Client:
            one: Client
            if request.param == "grpc":
                one = GrpcClient(f"dns://{names.at}/{NAME}:{grpc_port}")
            else:
                one = RestClient(Replicas([f"http://{NAME}:{rest_port}"], names.resolve), CALLERS)
            made.callback(one.close)
            return one

        yield make


@pytest.fixture
def later(serving: Serving, tmp_path: Path) -> Iterator[list[Replica]]:
    """Replicas that can be started."""
    first = serving.replicas[0]
    made = [Replica(host, first.ports, first.model, tmp_path / f"log-{host}") for host in LATER_HOSTS]
    try:
        yield made
    finally:
        for replica in made:
            replica.kill()


def share(replicas: list[Replica], asked: Asked, calls: int = 100) -> float:
    """The smallest part that one of the replicas has of the next so many calls."""
    before, answered = [replica.predictions() for replica in replicas], asked.answered
    until("answers", lambda: asked.answered >= answered + calls, 180)
    done = [replica.predictions() - b for replica, b in zip(replicas, before, strict=True)]
    return min(done) / sum(done)


def test_a_rolling_replacement_costs_no_prediction(
    serving: Serving, later: list[Replica], names: Names, client: Callable[[], Client], coffee: bytes
) -> None:
    names.addresses[NAME] = list(HOSTS)
    with Asked(client(), coffee) as asked:
        assert share(serving.replicas, asked) >= 0.4
        for old, new in zip(serving.replicas, later, strict=True):
            new.start()
            until("answer of a model server", new.usable, 120)
            names.addresses[NAME] = [host for host in names.addresses[NAME] if host != old.host] + [new.host]
            old.signal(signal.SIGTERM)
            assert old.process is not None
            assert old.process.wait(timeout=30) == 0
        until("call of the last one", lambda: later[-1].predictions() > 0)
        assert share(later, asked) >= 0.4
    assert asked.failures == []


def test_a_replica_that_is_added_gets_its_share(
    serving: Serving, names: Names, client: Callable[[], Client], coffee: bytes
) -> None:
    names.addresses[NAME] = [HOSTS[0]]
    with Asked(client(), coffee) as asked:
        until("answers", lambda: asked.answered > 10)
        names.addresses[NAME] = list(HOSTS)
        before = serving.replicas[1].predictions()
        until("call of the one that came", lambda: serving.replicas[1].predictions() > before)
        assert share(serving.replicas, asked) >= 0.4
    assert asked.failures == []


def test_one_that_hangs_is_left_out_until_it_answers(
    serving: Serving, names: Names, client: Callable[[], Client], coffee: bytes
) -> None:
    names.addresses[NAME] = list(HOSTS)
    hung, well = serving.replicas
    with Asked(client(), coffee) as asked:
        assert share(serving.replicas, asked) >= 0.4
        hung.signal(signal.SIGSTOP)
        # Over REST each caller may wait for the one that hangs once, until its call ends.
        before = well.predictions()
        until("answers of the other", lambda: well.predictions() >= before + 100, 180)
        failed = len(asked.failures)
        assert failed <= CALLERS
        hung.signal(signal.SIGCONT)
        until("share of the one that is back", lambda: share(serving.replicas, asked, 20) >= 0.4)
        assert len(asked.failures) == failed
