"""Keeps the models that the configuration asks for loaded: finds, loads, hands out and unloads their versions."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import grpc
from cctv_common.log import Log
from tensorflow_serving.apis import get_model_status_pb2, model_pb2
from tensorflow_serving.config import model_server_config_pb2

from cctv_serving import config, messages, versions
from cctv_serving.config import Config, Models
from cctv_serving.status import ServingError, invalid
from cctv_serving.versions import NoModel, Version

State = get_model_status_pb2.ModelVersionStatus
_UNKNOWN = grpc.StatusCode.UNKNOWN


class Loaded(Protocol):
    """What the manager has to know of a model."""

    def close(self) -> None:
        """Release what the model holds."""


M = TypeVar("M", bound=Loaded)


@dataclass
class _Servable(Generic[M]):
    name: str
    version: Version
    state: int = State.START
    model: M | None = None
    users: int = 0
    failure: str = ""
    attempts: int = 0
    not_before: float = 0.0

    @property
    def available(self) -> bool:
        return bool(self.state == State.AVAILABLE)

    def __str__(self) -> str:
        return f"{{name: {self.name} version: {self.version.number}}}"


@dataclass(frozen=True)
class Retries:
    """What is done about a version that does not load."""

    count: int = 5
    interval_s: float = 60.0


class Manager(Generic[M]):
    """Every version of every model, and who uses it.

    A new version is loaded before an old one goes, and an old one goes when its last request is answered: no request
    ever finds nothing.
    """

    def __init__(
        self,
        load: Callable[[str, Version], M],
        log: Log,
        *,
        retries: Retries | None = None,
        labels_may_wait: bool = False,
    ) -> None:
        """``load`` raises NoModel; ``labels_may_wait``: a new label may name a version that is not loaded."""
        self._load = load
        self._log = log
        self._retries = retries or Retries()
        self._labels_may_wait = labels_may_wait
        self._models: Models = {}
        self._labels: Mapping[str, Mapping[str, int]] = {}
        self._servables: dict[str, dict[int, _Servable[M]]] = {}
        self._changing = threading.Lock()  # held while versions are looked for and loaded
        self._changed = threading.Condition()  # guards all the rest

    def configure(self, wanted: Config) -> None:
        """Serve what ``wanted`` says, from now on.

        Raises ServingError when it is refused, or when a model that is new does not load.
        """
        if not wanted.WhichOneof("config"):
            return
        with self._changing:
            models = config.models(wanted)
            labels = self._checked_labels(models)
            new = sorted(models.keys() - self._models.keys())
            for name in new:
                _check_versions(models[name])
            with self._changed:
                self._models, self._labels = models, labels
            self._update()
            failed = [servable for name in new for servable in self._failed(name)]
            if failed:
                why = "".join(f"{{{one} due to error: {one.failure}}}, " for one in failed)
                raise ServingError(_UNKNOWN, f"{len(failed)} model(s) did not become available: {{{why}}}")

    def poll(self) -> None:
        """Look for new versions and for ones that are gone, load and unload."""
        with self._changing:
            self._update()

    def watch(self, stop: threading.Event, every_s: float, file: Path | None = None, file_every_s: float = 0) -> None:
        """Poll the models' folders, and the configuration's file, until ``stop`` is set; 0 seconds is never."""
        now = time.monotonic()
        next_poll = now + every_s if every_s else float("inf")
        next_read = now + file_every_s if file and file_every_s else float("inf")
        told = ""
        while not stop.wait(min(max(min(next_poll, next_read) - time.monotonic(), 0), threading.TIMEOUT_MAX)):
            try:
                if file and time.monotonic() >= next_read:
                    next_read = time.monotonic() + file_every_s
                    told = self._read_again(file, told)
                if time.monotonic() >= next_poll:
                    next_poll = time.monotonic() + every_s
                    self.poll()
            except Exception:
                # Whatever it is, the models that are there go on being served.
                self._log.exception("looking for models failed")

    @contextlib.contextmanager
    def use(self, spec: model_pb2.ModelSpec) -> Iterator[M]:
        """Hold the model that ``spec`` names; raises ServingError when there is none."""
        with self._changed:
            servable = self._find(spec)
            servable.users += 1
        assert servable.model is not None
        try:
            yield servable.model
        finally:
            with self._changed:
                servable.users -= 1
                if not servable.users:
                    self._changed.notify_all()

    def knows(self, name: str) -> bool:
        """Whether a model of that name is, or was, served."""
        return name in self._servables

    def names(self) -> list[str]:
        """The models that are configured."""
        return sorted(self._models)

    def status(self, spec: model_pb2.ModelSpec) -> get_model_status_pb2.GetModelStatusResponse:
        """The state of one version or, newest first, of all."""
        number = asked_version(spec)
        with self._changed:
            known = dict(self._servables.get(spec.name, {}))
        if number is not None:
            if number not in known:
                raise ServingError(grpc.StatusCode.NOT_FOUND, f"Could not find version {number} of model {spec.name}")
            known = {number: known[number]}
        if not known:
            raise ServingError(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for each in sorted(known, reverse=True):
            servable = known[each]
            status = response.model_version_status.add(version=each, state=servable.state).status
            status.error_code = _UNKNOWN.value[0] if servable.state == State.END and servable.failure else 0
            status.error_message = servable.failure if status.error_code else ""
        return response

    def _find(self, spec: model_pb2.ModelSpec) -> _Servable[M]:
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        number = asked_version(spec)
        if spec.WhichOneof("version_choice") == "version_label":
            number = self._labels.get(spec.name, {}).get(spec.version_label)
            if number is None:
                raise invalid("Unrecognized servable version label: ", spec.version_label)
        there = {n: one for n, one in self._servables.get(spec.name, {}).items() if one.available}
        if number is None and there:
            return there[max(there)]
        if number is not None and number in there:
            return there[number]
        wanted = f"Latest({spec.name})" if number is None else f"Specific({spec.name}, {number})"
        raise ServingError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {wanted}")

    def _checked_labels(self, models: Models) -> dict[str, dict[str, int]]:
        labels: dict[str, dict[str, int]] = {}
        for name, model in models.items():
            for label, number in model.version_labels.items():
                servable = self._servables.get(name, {}).get(number)
                moved = self._labels.get(name, {}).get(label, number) != number
                if not (servable and servable.available) and (moved or not self._labels_may_wait):
                    raise ServingError(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {name}, which is not currently "
                        "available for inference",
                    )
                labels.setdefault(name, {})[label] = number
        return labels

    def _update(self) -> None:
        for name in list(self._servables):
            if name not in self._models:
                self._unload(name, keep=())
        for name, model in self._models.items():
            try:
                wanted = versions.chosen(Path(model.base_path), model.model_version_policy)
            except NoModel as error:
                # Perhaps only for a moment, as when a share is away.
                self._log.warning("cannot look for versions", model=name, error=str(error))
                continue
            known = self._servables.setdefault(name, {})
            for version in wanted:
                self._ensure(known, name, version)
            numbers = [version.number for version in wanted]
            if not wanted or any(known[number].available for number in numbers if number in known):
                self._unload(name, keep=numbers)

    def _ensure(self, known: dict[int, _Servable[M]], name: str, version: Version) -> None:
        servable = known.get(version.number)
        gone = servable is not None and servable.state == State.END and not servable.failure
        if servable is None or gone:
            if not version.is_there():
                return  # it is not complete
            servable = _Servable(name, version)
            with self._changed:
                known[version.number] = servable
        if servable.state in (State.START, State.LOADING) and time.monotonic() >= servable.not_before:
            self._try_to_load(servable)

    def _try_to_load(self, servable: _Servable[M]) -> None:
        servable.state = State.LOADING
        servable.attempts += 1
        try:
            model = self._load(servable.name, servable.version)
        except NoModel as error:
            servable.failure = str(error)
            last = servable.attempts > self._retries.count
            servable.not_before = time.monotonic() + self._retries.interval_s
            self._log.error(
                "a version does not load",
                model=servable.name,
                version=servable.version.number,
                error=servable.failure,
                again="never" if last else f"in {self._retries.interval_s:g} s",
            )
            if last:
                servable.state = State.END
            return
        with self._changed:
            servable.model, servable.failure, servable.state = model, "", State.AVAILABLE

    def _unload(self, name: str, keep: Container[int]) -> None:
        for number, servable in self._servables[name].items():
            if number in keep:
                continue
            with self._changed:
                if servable.model is None:
                    # It never was loaded, and is not wanted any more: once it is, it may be tried anew.
                    servable.state, servable.failure = State.END, ""
                    continue
                if not servable.available:
                    continue
                servable.state = State.UNLOADING
            threading.Thread(target=self._end, args=(servable,), name="unload", daemon=True).start()

    def _end(self, servable: _Servable[M]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not servable.users)
            model, servable.model = servable.model, None
        assert model is not None
        model.close()
        del model
        gc.collect()  # a graph is full of cycles, and as large as its weights
        with self._changed:
            servable.state = State.END
        self._log.info("unloaded", model=servable.name, version=servable.version.number)

    def _failed(self, name: str) -> list[_Servable[M]]:
        known = self._servables.get(name, {})
        return [] if any(servable.available for servable in known.values()) else list(known.values())

    def _read_again(self, file: Path, told: str) -> str:
        try:
            self.configure(messages.read(file, Config))
        except (messages.WrongFile, ServingError) as error:
            if str(error) != told:  # once, not with every poll
                self._log.error("the configuration is not taken", file=str(file), error=str(error))
            return str(error)
        return ""


def _check_versions(model: model_server_config_pb2.ModelConfig) -> None:
    try:
        if any(version.is_there() for version in versions.chosen(Path(model.base_path), model.model_version_policy)):
            return
    except NoModel:
        pass
    raise ServingError(
        grpc.StatusCode.NOT_FOUND,
        f"Unable to find a numerical version path for servable {model.name} at: {model.base_path}",
    )


def asked_version(spec: model_pb2.ModelSpec) -> int | None:
    """The version that a request is about, None for the newest.

    OpenVINO's client, made for TensorFlow Serving's interface, always sends one, and 0 for the newest.
    """
    return spec.version.value or None if spec.WhichOneof("version_choice") == "version" else None
