"""Loads the model, serves it by both protocols, and drains them in the end."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import uvicorn
from cctv_common import health
from cctv_common.log import Log

from cctv_serving.engine import Engine, Metrics
from cctv_serving.flags import Flags
from cctv_serving.grpc_api import Services, make_server
from cctv_serving.model import Model
from cctv_serving.quiet import quietly
from cctv_serving.rest import RestApi
from cctv_serving.settings import Settings
from cctv_serving.versions import Version

DRAIN_S = 4.0
"""Time that requests in flight have to end after SIGTERM."""


def serve(
    given: Flags,
    settings: Settings,
    version: Version,
    rest_socket: socket.socket | None,
    stop: threading.Event,
    log: Log,
) -> None:
    """Serve until ``stop`` is set.

    Raises NoModel when the SavedModel does not load, ServingError when its own warm-up fails, OSError when the gRPC
    interface cannot listen.
    """
    began = time.monotonic()
    with quietly():
        model = Model(given.model_name, version, given.threads, given.saved_model_tags)
        warmed = model.warm_up(given.num_request_iterations_for_warmup) if given.enable_model_warmup else 0
    engine = Engine(settings.max_in_flight, given.threads.inter_op or os.cpu_count() or 1, Metrics())
    addresses = [f"{_bracketed(settings.http_host)}:{given.port}"] if given.port else []
    if given.grpc_socket_path:
        addresses.append(f"unix:{given.grpc_socket_path}")
    server = make_server(
        Services(model, engine, log, given.enable_serialization_as_tensor_content),
        addresses,
        max_in_flight=settings.max_in_flight,
        max_request_bytes=settings.max_request_bytes,
        channel_arguments=given.grpc_channel_arguments,
    )
    rest = RestApi(
        model,
        engine,
        ThreadPoolExecutor(min(given.rest_api_num_threads, settings.max_in_flight + 4), "rest"),
        log,
        timeout_s=given.rest_api_timeout_in_ms / 1000,
        max_request_bytes=settings.max_request_bytes,
        cors=given.rest_api_enable_cors_support,
    )
    with _rest_server(rest, rest_socket):
        server.start()
        log.info(
            "serving",
            model=model.name,
            version=model.version,
            signatures=sorted(model.signatures),
            grpc=addresses,
            rest=f"{settings.http_host}:{given.rest_api_port}" if rest_socket else "none",
            warm_up_requests=warmed,
            load_seconds=round(time.monotonic() - began, 1),
        )
        stop.wait()
        log.info("stopping")
        drained = server.stop(grace=DRAIN_S)
    drained.wait(DRAIN_S + 0.5)
    log.info("stopped")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@contextlib.contextmanager
def _rest_server(rest: RestApi, listener: socket.socket | None) -> Iterator[None]:
    """Serve from a thread of its own; on leaving, let requests in flight end."""
    if listener is None:
        yield
        return
    app = rest.app(health.routes(health.Health()))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http="httptools",
            loop="uvloop",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(DRAIN_S),
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="rest", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(DRAIN_S + 0.5)
