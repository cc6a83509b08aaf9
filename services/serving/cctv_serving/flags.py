"""tensorflow_model_server's flags: the same names, spellings and defaults.

A flag that asks for what this server does not do is refused by name; one that merely tunes what it does otherwise is
taken and has no effect.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Self

_NO_EFFECT = (
    "enable_profiler",
    "flush_filesystem_caches",
    "grpc_max_threads",
    "num_load_threads",
    "num_tflite_interpreters_per_pool",
    "num_tflite_pools",
    "num_unload_threads",
    "per_process_gpu_memory_fraction",
    "remove_unused_fields_from_bundle_metagraph",
    "skip_initialize_tpu",
    "xla_cpu_compilation_enabled",
    "xla_gpu_compilation_enabled",
)
_REFUSED_TEXTS = (
    "mixed_precision",
    "platform_config_file",
    "tensorflow_session_config_file",
    "thread_pool_factory_config_file",
)
_REFUSED_SWITCHES = ("prefer_tflite_model", "use_alts_credentials")


@dataclass(frozen=True)
class Threads:
    """TensorFlow's threads; 0 lets TensorFlow choose."""

    intra_op: int = 0
    inter_op: int = 0


@dataclass(frozen=True)
class Flags:
    """What the command line says."""

    port: int
    grpc_socket_path: str
    grpc_channel_arguments: tuple[tuple[str, int | str], ...]
    rest_api_port: int
    rest_api_num_threads: int
    rest_api_timeout_in_ms: int
    rest_api_enable_cors_support: bool
    model_name: str
    model_base_path: Path
    model_config_file: Path | None
    model_config_file_poll_wait_seconds: int
    file_system_poll_wait_seconds: int
    max_num_load_retries: int
    load_retry_interval_micros: int
    allow_version_labels_for_unavailable_models: bool
    enable_batching: bool
    batching_parameters_file: Path | None
    enable_per_model_batching_parameters: bool
    monitoring_config_file: Path | None
    ssl_config_file: Path | None
    enable_grpc_healthcheck_service: bool
    enable_signature_method_name_check: bool
    saved_model_tags: tuple[str, ...]
    threads: Threads
    enable_model_warmup: bool
    num_request_iterations_for_warmup: int
    enable_serialization_as_tensor_content: bool
    no_effect: tuple[str, ...]

    @property
    def cores(self) -> int:
        """Things to do at the same time where no flag says how many."""
        return os.cpu_count() or 1


def parse(arguments: Sequence[str] | None = None) -> Flags:
    """Read the flags; ends the program with code 2 and a line that names the wrong one."""
    parser = argparse.ArgumentParser(
        prog="cctv-serving",
        allow_abbrev=False,
        description="Serve SavedModels as TensorFlow Serving's model server does, with its flags (--flag=value).",
        epilog="Environment: ENGINE, OPENVINO_PRECISION, HTTP_HOST, LOG_LEVEL, MAX_IN_FLIGHT, MAX_REQUEST_BYTES.",
    )
    threads = 4 * (os.cpu_count() or 1)

    def number(name: str, default: int, help: str, top: int = 2**31 - 1) -> None:
        parser.add_argument(f"--{name}", type=_number(top), default=default, metavar="N", help=f"{help} [{default}]")

    def text(name: str, default: str, help: str) -> None:
        parser.add_argument(f"--{name}", default=default, metavar="TEXT", help=help)

    def switch(name: str, default: bool, help: str) -> None:
        parser.add_argument(
            f"--{name}", nargs="?", type=_switch, const=True, default=default, metavar="true|false", help=help
        )

    number("port", 8500, "TCP port of the gRPC interface; 0: none", 65535)
    text("grpc_socket_path", "", "path of a UNIX socket for the gRPC interface, too")
    text("grpc_channel_arguments", "", "name=value[,name=value...] for the gRPC server")
    number("rest_api_port", 0, "port of the REST interface; 0: none", 65535)
    number("rest_api_num_threads", threads, "threads for REST requests")
    number("rest_api_timeout_in_ms", 30000, "time limit of a REST request; 0: none")
    switch("rest_api_enable_cors_support", False, "answer with CORS headers")
    text("model_name", "default", "name of the model")
    text("model_base_path", "", "folder with the model's versions; the highest is served")
    text("model_config_file", "", "file with a ModelServerConfig, in place of a name and a path")
    number("model_config_file_poll_wait_seconds", 0, "time between two looks at that file; 0: one look")
    number("file_system_poll_wait_seconds", 1, "time between two looks for versions; 0: one look")
    number("max_num_load_retries", 5, "how often a version that does not load is tried again")
    number("load_retry_interval_micros", 60_000_000, "time between two tries", 2**62)
    switch("allow_version_labels_for_unavailable_models", False, "a new label may name a version that is not loaded")
    switch("enable_batching", False, "run requests of several clients together")
    text("batching_parameters_file", "", "file with BatchingParameters")
    switch("enable_per_model_batching_parameters", False, "batch models that have a batching_params.pbtxt, by it")
    text("monitoring_config_file", "", "file with a MonitoringConfig")
    text("ssl_config_file", "", "file with an SSLConfig for the gRPC interface")
    switch("enable_grpc_healthcheck_service", False, "answer gRPC's standard health checks")
    switch("enable_signature_method_name_check", False, "classify and regress by signatures named so only")
    text("saved_model_tags", "serve", "comma-separated tags of the graph to load")
    number("tensorflow_session_parallelism", 0, "TensorFlow's threads of both kinds; 0: as many as there are cores")
    number("tensorflow_intra_op_parallelism", 0, "threads within one operation")
    number("tensorflow_inter_op_parallelism", 0, "operations at the same time")
    switch("enable_model_warmup", True, "run requests before saying ready")
    number("num_request_iterations_for_warmup", 0, "how often each of them runs")
    switch("enable_serialization_as_tensor_content", False, "answer with tensor_content instead of typed values")
    switch("version", False, "print versions and end")
    for name in _NO_EFFECT:
        parser.add_argument(f"--{name}", nargs="?", const="true", help=argparse.SUPPRESS)
    for name in (*_REFUSED_TEXTS, *_REFUSED_SWITCHES):
        parser.add_argument(f"--{name}", nargs="?", const="true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)

    if given.version:
        print(f"TensorFlow ModelServer: cctv-serving\nTensorFlow Library: {_tensorflow_version()}")
        parser.exit()
    for name in (*_REFUSED_TEXTS, *_REFUSED_SWITCHES):
        value = getattr(given, name)
        if value and not (name in _REFUSED_SWITCHES and value.lower() in ("false", "0")):
            parser.error(f"--{name}={value}: this server does not do that; expected: the flag left out")
    if not given.model_base_path and not given.model_config_file:
        parser.error("--model_base_path is not set; expected the folder that holds the model's version folders")
    if given.batching_parameters_file and not given.enable_batching:
        parser.error(
            f"--batching_parameters_file={given.batching_parameters_file} without --enable_batching; expected both"
        )
    if not given.port and not given.grpc_socket_path:
        parser.error("--port=0 without --grpc_socket_path; expected at least one of them")
    if given.port and given.port == given.rest_api_port:
        parser.error(f"--rest_api_port={given.rest_api_port}: expected another port than --port")
    intra, inter, session = (
        given.tensorflow_intra_op_parallelism,
        given.tensorflow_inter_op_parallelism,
        given.tensorflow_session_parallelism,
    )
    if intra and inter and session:
        parser.error(
            "--tensorflow_session_parallelism with --tensorflow_intra_op_parallelism and "
            "--tensorflow_inter_op_parallelism: expected either the first or the other two"
        )
    return Flags(
        port=given.port,
        grpc_socket_path=given.grpc_socket_path,
        grpc_channel_arguments=_channel_arguments(parser, given.grpc_channel_arguments),
        rest_api_port=given.rest_api_port,
        rest_api_num_threads=max(given.rest_api_num_threads, 1),
        rest_api_timeout_in_ms=given.rest_api_timeout_in_ms,
        rest_api_enable_cors_support=given.rest_api_enable_cors_support,
        model_name=given.model_name or "default",
        model_base_path=Path(given.model_base_path),
        model_config_file=_path(given.model_config_file),
        model_config_file_poll_wait_seconds=given.model_config_file_poll_wait_seconds,
        file_system_poll_wait_seconds=given.file_system_poll_wait_seconds,
        max_num_load_retries=given.max_num_load_retries,
        load_retry_interval_micros=given.load_retry_interval_micros,
        allow_version_labels_for_unavailable_models=given.allow_version_labels_for_unavailable_models,
        enable_batching=given.enable_batching,
        batching_parameters_file=_path(given.batching_parameters_file),
        enable_per_model_batching_parameters=given.enable_per_model_batching_parameters,
        monitoring_config_file=_path(given.monitoring_config_file),
        ssl_config_file=_path(given.ssl_config_file),
        enable_grpc_healthcheck_service=given.enable_grpc_healthcheck_service,
        enable_signature_method_name_check=given.enable_signature_method_name_check,
        saved_model_tags=tuple(given.saved_model_tags.split(",")),
        threads=Threads(intra, inter) if intra or inter else Threads(session, session),
        enable_model_warmup=given.enable_model_warmup,
        num_request_iterations_for_warmup=max(given.num_request_iterations_for_warmup, 1),
        enable_serialization_as_tensor_content=given.enable_serialization_as_tensor_content,
        no_effect=tuple(name for name in _NO_EFFECT if getattr(given, name) is not None),
    )


def _number(top: int) -> type[int]:
    class Number(int):
        def __new__(cls, text: str) -> Self:
            if not text.isdecimal() or int(text) > top:
                raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 0 to {top}")
            return super().__new__(cls, text)

    return Number


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _tensorflow_version() -> str:
    # The same library comes in several packages.
    for package in ("tensorflow-cpu", "tensorflow"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(package)
    return "none"


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "1", "false", "0"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected true or false")
    return text.lower() in ("true", "1")


def _channel_arguments(parser: argparse.ArgumentParser, text: str) -> tuple[tuple[str, int | str], ...]:
    arguments: list[tuple[str, int | str]] = []
    for pair in filter(None, text.split(",")):
        name, equals, value = pair.partition("=")
        if not equals or not name:
            parser.error(f"--grpc_channel_arguments={text}: expected name=value[,name=value...]")
        arguments.append((name, int(value) if value.lstrip("-").isdecimal() else value))
    return tuple(arguments)
