"""Loads the models, serves them by both protocols, and drains these in the end."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
import uvicorn
from cctv_common import health
from cctv_common.log import Log
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cctv_serving import messages, monitoring
from cctv_serving.config import Config
from cctv_serving.engine import Engine, Metrics
from cctv_serving.flags import Flags
from cctv_serving.grpc_api import Services, add_health, make_server
from cctv_serving.loader import Loader
from cctv_serving.manager import Manager, Retries
from cctv_serving.model import Model
from cctv_serving.monitoring import Monitoring
from cctv_serving.rest import RestApi
from cctv_serving.settings import Settings

DRAIN_S = 4.0
"""Time that requests in flight have to end after SIGTERM."""

_NO_LIMIT_S = 24 * 3600.0


def serve(
    given: Flags,
    settings: Settings,
    wanted: Config,
    rest_socket: socket.socket | None,
    stop: threading.Event,
    log: Log,
) -> None:
    """Serve until ``stop`` is set.

    Raises ServingError when a model does not load, WrongFile when a file of the flags' is wrong, OSError when the gRPC
    interface cannot listen.
    """
    began = time.monotonic()
    gc.freeze()  # the libraries stay, so that looking for garbage after a model went is quick
    counted = Monitoring()
    metrics_path = _metrics_path(given)
    engine = Engine(settings.max_in_flight, given.threads.inter_op or given.cores, Metrics())
    work = engine.metrics.work

    def ran(model: str, items: int, seconds: float) -> None:
        work.batch(items)
        work.model(model, seconds)

    loader = Loader(given, settings, log, counted, ran)
    work.waiting(lambda: engine.waiting + loader.queued())
    manager: Manager[Model] = Manager(
        loader,
        log,
        retries=Retries(given.max_num_load_retries, given.load_retry_interval_micros / 1e6),
        labels_may_wait=given.allow_version_labels_for_unavailable_models,
    )
    manager.configure(wanted)
    addresses = [f"{_bracketed(settings.http_host)}:{given.port}"] if given.port else []
    if given.grpc_socket_path:
        addresses.append(f"unix:{given.grpc_socket_path}")
    services = Services(
        manager,
        engine,
        counted,
        log,
        as_content=given.enable_serialization_as_tensor_content,
        check_method_name=given.enable_signature_method_name_check,
    )
    server = make_server(
        services,
        addresses,
        max_in_flight=settings.max_in_flight,
        max_request_bytes=settings.max_request_bytes,
        channel_arguments=given.grpc_channel_arguments,
        credentials=_credentials(given),
    )
    checked = add_health(server) if given.enable_grpc_healthcheck_service else None
    rest = RestApi(
        manager,
        engine,
        counted,
        ThreadPoolExecutor(min(given.rest_api_num_threads, settings.max_in_flight + 4), "rest"),
        log,
        timeout_s=given.rest_api_timeout_in_ms / 1000 or _NO_LIMIT_S,
        max_request_bytes=settings.max_request_bytes,
        cors=given.rest_api_enable_cors_support,
        check_method_name=given.enable_signature_method_name_check,
    )
    watch = threading.Thread(
        target=manager.watch,
        args=(
            stop,
            given.file_system_poll_wait_seconds,
            given.model_config_file,
            given.model_config_file_poll_wait_seconds,
        ),
        name="watch",
        daemon=True,
    )
    with _rest_server(rest, rest_socket, _metrics_page(metrics_path, counted) if metrics_path else []):
        server.start()
        watch.start()
        log.info(
            "serving",
            models=manager.names(),
            engine=settings.engine,
            grpc=addresses,
            rest=f"{settings.http_host}:{given.rest_api_port}" if rest_socket else "none",
            load_seconds=round(time.monotonic() - began, 1),
        )
        stop.wait()
        log.info("stopping")
        if checked:
            checked.enter_graceful_shutdown()
        drained = server.stop(grace=DRAIN_S)
    drained.wait(DRAIN_S + 0.5)
    log.info("stopped")


def _metrics_path(given: Flags) -> str:
    if given.monitoring_config_file is None:
        return ""
    prometheus = messages.read(given.monitoring_config_file, messages.MonitoringConfig).prometheus_config
    path = str(prometheus.path or monitoring.PATH)
    if not path.startswith("/"):
        raise messages.WrongFile(f"{given.monitoring_config_file}: path={path}: expected a path that begins with /")
    return path if prometheus.enable else ""


def _metrics_page(path: str, counted: Monitoring) -> list[BaseRoute]:
    async def page(__: Request) -> Response:
        return Response(counted.page(), media_type="text/plain")

    return [Route(path, page)]


def _credentials(given: Flags) -> grpc.ServerCredentials | None:
    if given.ssl_config_file is None:
        return None
    said = messages.read(given.ssl_config_file, messages.SSLConfig)
    try:
        return grpc.ssl_server_credentials(
            [(said.server_key.encode(), said.server_cert.encode())],
            root_certificates=said.custom_ca.encode() or None,
            require_client_auth=said.client_verify,
        )
    except ValueError as error:
        raise messages.WrongFile(f"{given.ssl_config_file}: {error}") from None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@contextlib.contextmanager
def _rest_server(rest: RestApi, listener: socket.socket | None, extra: Sequence[BaseRoute] = ()) -> Iterator[None]:
    """Serve from a thread of its own; on leaving, let requests in flight end."""
    if listener is None:
        yield
        return
    app = rest.app([*health.routes(health.Health()), *extra])
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
