from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from integration.ui.helpers import Recorder, Service, Site

_numbers = itertools.count(1)


@pytest.fixture
def index(elasticsearch: Any) -> Iterator[str]:
    """The name of an index of the test's own, with the product's mapping; there from the first document on."""
    elasticsearch.put_template()
    name = f"detections-ui-{next(_numbers)}"
    yield name
    if elasticsearch.alive():
        elasticsearch.cont()
    elasticsearch.start()
    elasticsearch.ask(f"/{name}?ignore_unavailable=true", method="DELETE")


@pytest.fixture
def start_service() -> Iterator[Callable[..., Service]]:
    services: list[Service] = []

    def start(**environment: str) -> Service:
        services.append(Service(**environment))
        return services[-1]

    yield start
    for service in services:
        service.process.kill()
        service.process.wait()


@pytest.fixture
def make_site(
    elasticsearch: Any, index: str, tmp_path: Path, start_service: Callable[..., Service]
) -> Callable[..., Site]:
    def make(store: Path | None = None, **environment: str) -> Site:
        recorder = Recorder(elasticsearch.url, index, store or tmp_path / "store")
        service = start_service(
            ELASTICSEARCH_URL=elasticsearch.url,
            ELASTICSEARCH_ALIAS=index,
            IMAGE_STORE_DIR=str(recorder.store),
            **environment,
        )
        service.wait_ready()
        return Site(service, recorder)

    return make


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()
