"""Serves one SavedModel over gRPC and REST: `cctv-serving --model_base_path=... --port=8500 --rest_api_port=8501`."""

from __future__ import annotations

import os
import sys
import time

# Before TensorFlow is loaded, which reads them then.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from cctv_serving.quiet import quietly

with quietly():
    import tensorflow as tf

import contextlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import uvicorn
from cctv_common import health, lifecycle, log
from cctv_common.settings import EXIT_CONFIG, ServiceSettings, load
from pydantic import Field

from cctv_serving import flags as flag_parser
from cctv_serving.engine import Engine, Metrics
from cctv_serving.grpc_api import Services, make_server
from cctv_serving.model import Model, NoModel
from cctv_serving.rest import RestApi
from cctv_serving.status import ServingError

DRAIN_S = 4.0
"""Time that requests in flight have to end after SIGTERM."""


class Settings(ServiceSettings):
    """What tensorflow_model_server has no flag for."""

    http_host: str = Field("0.0.0.0", description="address that gRPC and REST listen on")
    max_in_flight: int = Field(16, ge=1, le=1024, description="predictions that run or wait; more are refused at once")
    max_request_bytes: int = Field(64 * 1024 * 1024, ge=1024, description="largest request of both interfaces")


def main() -> int:
    """Serve until SIGTERM."""
    began = time.monotonic()
    given = flag_parser.parse()
    settings = load(Settings)
    logger = log.configure("tf-serving", settings.log_level)
    tf.get_logger().setLevel("ERROR")
    stop = lifecycle.stop_event()
    if given.no_effect:
        logger.info("flags without effect in this server", flags=list(given.no_effect))
    try:
        # Taken before the model is loaded, which takes seconds: a port in use is told at once.
        rest_socket = _listen(settings.http_host, given.rest_api_port) if given.rest_api_port else None
        with quietly():
            model = Model(given.model_name, given.model_base_path, given.threads, given.saved_model_tags)
            warmed = model.warm_up(given.num_request_iterations_for_warmup) if given.enable_model_warmup else 0
    except (NoModel, OSError) as error:
        print(f"Failed to start server. Error: {error}", file=sys.stderr)
        return EXIT_CONFIG
    except ServingError as error:
        print(f"Failed to start server. Error: the model's own warm-up request fails: {error}", file=sys.stderr)
        return EXIT_CONFIG

    engine = Engine(settings.max_in_flight, given.threads.inter_op or os.cpu_count() or 1, Metrics())
    addresses = [f"{_bracketed(settings.http_host)}:{given.port}"] if given.port else []
    if given.grpc_socket_path:
        addresses.append(f"unix:{given.grpc_socket_path}")
    try:
        server = make_server(
            Services(model, engine, logger, given.enable_serialization_as_tensor_content),
            addresses,
            max_in_flight=settings.max_in_flight,
            max_request_bytes=settings.max_request_bytes,
            channel_arguments=given.grpc_channel_arguments,
        )
    except OSError as error:
        print(f"Failed to start server. Error: {error}", file=sys.stderr)
        return 1
    workers = ThreadPoolExecutor(min(given.rest_api_num_threads, settings.max_in_flight + 4), "rest")
    rest = RestApi(
        model,
        engine,
        workers,
        logger,
        timeout_s=given.rest_api_timeout_in_ms / 1000,
        max_request_bytes=settings.max_request_bytes,
        cors=given.rest_api_enable_cors_support,
    )
    with _serve_rest(rest, rest_socket):
        server.start()
        logger.info(
            "serving",
            model=model.name,
            version=model.version,
            signatures=sorted(model.signatures),
            grpc=addresses,
            rest=f"{settings.http_host}:{given.rest_api_port}" if rest_socket else "none",
            warm_up_requests=warmed,
            seconds=round(time.monotonic() - began, 1),
        )
        stop.wait()
        logger.info("stopping")
        drained = server.stop(grace=DRAIN_S)
    drained.wait(DRAIN_S + 0.5)
    logger.info("stopped")
    return 0


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        # Bound only: nobody is let in, and kept waiting, before the model is there.
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(f"REST cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@contextlib.contextmanager
def _serve_rest(rest: RestApi, listener: socket.socket | None) -> Iterator[None]:
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


if __name__ == "__main__":
    sys.exit(main())
