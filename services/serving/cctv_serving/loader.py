"""Makes a model of a version's folder: loads it into the engine, wraps it for batching, warms it up."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path

from cctv_common.log import Log

from cctv_serving import messages, warmup
from cctv_serving.batching import Batches, Parameters, Threads
from cctv_serving.flags import Flags
from cctv_serving.model import Model
from cctv_serving.monitoring import Monitoring
from cctv_serving.quiet import quietly
from cctv_serving.session import Session, TensorFlowSession
from cctv_serving.settings import Settings
from cctv_serving.status import ServingError
from cctv_serving.versions import NoModel, Version

PER_MODEL_BATCHING = "batching_params.pbtxt"


class Loader:
    """Loads models, each as the flags want it. ``ran`` is told of each run: model, items and seconds."""

    def __init__(
        self, given: Flags, settings: Settings, log: Log, monitoring: Monitoring, ran: Callable[[str, int, float], None]
    ) -> None:
        """Raise WrongFile or ServingError when the batching parameters are not to be understood."""
        self._given = given
        self._settings = settings
        self._log = log
        self._monitoring = monitoring
        self._ran = ran
        self._parameters: Parameters | None = None
        self._threads: Threads | None = None
        if given.enable_batching:
            said = (
                messages.read(given.batching_parameters_file, messages.BatchingParameters)
                if given.batching_parameters_file
                else messages.BatchingParameters()
            )
            self._parameters = Parameters.of(said)
            self._threads = Threads(
                said.num_batch_threads.value or given.cores, said.thread_pool_name.value or "model_server_batch_threads"
            )

    def __call__(self, name: str, version: Version) -> Model:
        """Load a version; raises NoModel."""
        began = time.monotonic()
        with quietly():
            session = self._session(version.folder)
            try:
                model = Model(name, version, session, self._ran)
                model.batches = self._batches(model)
                warmed = self._warm_up(model)
            except (ServingError, messages.WrongFile) as error:
                session.close()
                raise NoModel(f"{version.folder} does not suit: {getattr(error, 'message', error)}") from None
        gc.collect()  # of what it took to load it
        self._log.info(
            "loaded",
            model=name,
            version=version.number,
            signatures=sorted(model.signatures),
            engine=self._settings.engine,
            batching=model.batches is not None,
            warm_up_requests=warmed,
            load_seconds=round(time.monotonic() - began, 1),
        )
        return model

    def _session(self, folder: Path) -> Session:
        session = TensorFlowSession(folder, self._given.threads, self._given.saved_model_tags)
        if self._settings.engine == "tensorflow":
            return session
        from cctv_serving.openvino_session import OpenVinoSession

        return OpenVinoSession(
            session,
            folder,
            self._log,
            threads=self._given.threads,
            tags=self._given.saved_model_tags,
            precision=self._settings.openvino_precision,
        )

    def queued(self) -> int:
        """How many requests wait for a batch to run."""
        return self._threads.queued() if self._threads else 0

    def _batches(self, model: Model) -> Batches | None:
        parameters, threads = self._parameters, self._threads
        if parameters is None or threads is None:
            return None
        if self._given.enable_per_model_batching_parameters:
            file = model.folder / PER_MODEL_BATCHING
            if not file.is_file():
                return None
            parameters = Parameters.of(messages.read(file, messages.BatchingParameters))
        return Batches(model.run, parameters, threads, self._monitoring)

    def _warm_up(self, model: Model) -> int:
        given = self._given
        if not given.enable_model_warmup:
            return 0
        try:
            return warmup.run(
                model,
                given.num_request_iterations_for_warmup,
                given.enable_signature_method_name_check,
                self._monitoring,
            )
        except ServingError as error:
            raise ServingError(error.code, f"the model's own warm-up request fails: {error.message}") from None
