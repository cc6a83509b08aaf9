from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from integration.video.helpers import Service, Site


@pytest.fixture
def make_site(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., Site]]:
    """Makes servers, of which none may have had to complain: viewers come and go as they like."""
    sites: list[Site] = []

    def make(*args: Any, **kwargs: Any) -> Site:
        sites.append(Site(*args, **kwargs))
        return sites[-1]

    yield make
    for site in sites:
        site.stop()
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR] == []


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


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
