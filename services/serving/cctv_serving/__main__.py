"""Serves SavedModels over gRPC and REST: `cctv-serving --model_base_path=... --port=8500 --rest_api_port=8501`."""

from __future__ import annotations

import logging
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

# Read by gRPC and TensorFlow when they are loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from cctv_common import lifecycle, log
from cctv_common.settings import EXIT_CONFIG, load

from cctv_serving import config, flags, messages, versions
from cctv_serving.quiet import quietly
from cctv_serving.settings import Settings
from cctv_serving.status import ServingError


def main() -> int:
    """Serve until SIGTERM."""
    given = flags.parse()
    settings = load(Settings)
    logger = log.configure("tf-serving", settings.log_level)
    stop = lifecycle.stop_event()
    if given.no_effect:
        logger.info("flags without effect in this server", flags=list(given.no_effect))
    try:
        # First what can be wrong: TensorFlow takes seconds to load.
        wanted = _config(given)
        rest_socket = _listen(settings.http_host, given.rest_api_port) if given.rest_api_port else None
        with quietly():
            from cctv_serving.server import serve
        serve(given, settings, wanted, rest_socket, stop, logger)
    except (versions.NoModel, messages.WrongFile) as error:
        return _failed(error, EXIT_CONFIG)
    except ServingError as error:
        return _failed(error.message, EXIT_CONFIG)
    except OSError as error:
        return _failed(error, 1)
    _end()


def _config(given: flags.Flags) -> config.Config:
    if given.model_config_file is None:
        wanted = config.single(given.model_name, given.model_base_path)
    else:
        wanted = messages.read(given.model_config_file, config.Config)
    for model in config.models(wanted).values():
        versions.check(Path(model.base_path), model.model_version_policy)
    return wanted


def _end() -> NoReturn:
    # Not by way of the interpreter's own end: it would wait for every thread, that of a model that hangs too.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


def _failed(why: object, code: int) -> int:
    print(f"Failed to start server. Error: {why}", file=sys.stderr, flush=True)
    return code


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


if __name__ == "__main__":
    sys.exit(main())
