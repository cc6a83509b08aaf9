from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import structlog
from cctv_common import log
from cctv_serving import flags
from cctv_serving.config import Config
from cctv_serving.loader import Loader
from cctv_serving.manager import Manager, Retries, State
from cctv_serving.model import Model
from cctv_serving.monitoring import Monitoring
from cctv_serving.settings import Settings
from cctv_serving.status import ServingError
from google.protobuf import text_format
from tensorflow_serving.apis import model_pb2
from waiting import until


class House:
    """A manager of real models in folders, and questions to it."""

    def __init__(self, folder: Path, model: Path, retries: int = 0, **options: Any) -> None:
        self._folder = folder
        self._model = model
        logger: log.Log = structlog.get_logger()
        loader = Loader(flags.parse(["--model_base_path=/x"]), Settings(), logger, Monitoring(), lambda *_: None)
        self.manager: Manager[Model] = Manager(loader, logger, retries=Retries(retries, 0.0), **options)

    def put(self, version: int, name: str = "m") -> Path:
        path = self._folder / name / str(version)
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(self._model)
        return path

    def config(self, *models: str) -> Config:
        said = "".join(f"config {{ model_platform: 'tensorflow' {model} }}" for model in models)
        return text_format.Parse(f"model_config_list {{ {said.replace('@', str(self._folder))} }}", Config())

    def configure(self, *models: str) -> None:
        self.manager.configure(self.config(*models))

    def states(self, name: str = "m") -> dict[int, str]:
        """Of each version, newest first."""
        said = self.manager.status(model_pb2.ModelSpec(name=name)).model_version_status
        return {status.version: State.State.Name(status.state) for status in said}

    def answers(self, name: str = "m", **choice: Any) -> int:
        """The version that answers a request, having run."""
        spec = model_pb2.ModelSpec(name=name)
        if "label" in choice:
            spec.version_label = choice["label"]
        elif "version" in choice:
            spec.version.value = choice["version"]
        with self.manager.use(spec) as model:
            prediction = model.prepare("", {"x": np.array([[4]], np.float32)})
            (y,) = model.session.run(prediction.call.feeds, prediction.call.fetches)
            assert y.tolist() == [[4]]
            return model.version

    def refuses(self, name: str = "m", **choice: Any) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(ServingError) as told:
            self.answers(name, **choice)
        return told.value.code, told.value.message


M = "name: 'm' base_path: '@/m'"


@pytest.fixture
def house(tmp_path: Path, half_plus_two: Path) -> House:
    return House(tmp_path, half_plus_two)


class TestVersions:
    def test_a_new_one_takes_over(self, house: House) -> None:
        house.put(1)
        house.configure(M)
        assert (house.answers(), house.states()) == (1, {1: "AVAILABLE"})
        house.put(2)
        house.manager.poll()
        assert house.answers() == 2
        until("end of the old one", lambda: house.states() == {2: "AVAILABLE", 1: "END"})
        assert list(house.states()) == [2, 1]
        assert house.refuses(version=1) == (
            grpc.StatusCode.NOT_FOUND,
            "Servable not found for request: Specific(m, 1)",
        )

    def test_an_old_one_that_is_needed_again_comes_back(self, house: House) -> None:
        house.put(1)
        house.configure(M)
        newer = house.put(2)
        house.manager.poll()
        until("end of the old one", lambda: house.states()[1] == "END")
        newer.unlink()
        house.manager.poll()
        assert house.answers() == 1
        until("end of the newer one", lambda: house.states() == {2: "END", 1: "AVAILABLE"})

    def test_one_that_is_in_use_stays_until_it_is_not(self, house: House) -> None:
        house.put(1)
        house.configure(M)
        with house.manager.use(model_pb2.ModelSpec(name="m")) as model:
            house.put(2)
            house.manager.poll()
            assert house.states() == {2: "AVAILABLE", 1: "UNLOADING"}
            assert house.answers() == 2
            call = model.prepare("", {"x": np.array([[0]], np.float32)}).call
            assert model.session.run(call.feeds, call.fetches)[0].tolist() == [[2]]
        until("end of the old one", lambda: house.states()[1] == "END")

    def test_nobody_finds_nothing_while_versions_change(self, house: House) -> None:
        old = house.put(1)
        house.configure(M)
        stop = threading.Event()
        seen: list[list[int]] = [[] for __ in range(3)]

        def ask(answers: list[int]) -> None:
            while not stop.is_set():
                answers.append(house.answers())

        with ThreadPoolExecutor(3) as clients:
            asking = [clients.submit(ask, answers) for answers in seen]
            try:
                for version in range(2, 6):
                    new = house.put(version)
                    house.manager.poll()
                    old.unlink()
                    old = new
                    until(
                        "answer of the new one to each",
                        lambda: all(answers and answers[-1] == max(house.states()) for answers in seen),
                    )
            finally:
                stop.set()
            for one in asking:
                one.result(20)  # raises what a client was told, were it anything but an answer
        for answers in seen:
            assert sorted(set(answers)) == [1, 2, 3, 4, 5]
            assert answers == sorted(answers)

    def test_policies_change_while_it_runs(self, house: House) -> None:
        for version in (1, 2, 3):
            house.put(version)
        house.configure(f"{M} model_version_policy {{ latest {{ num_versions: 2 }} }}")
        assert house.states() == {3: "AVAILABLE", 2: "AVAILABLE"}
        house.configure(f"{M} model_version_policy {{ specific {{ versions: 1 }} }}")
        until("end of the newer ones", lambda: house.states() == {3: "END", 2: "END", 1: "AVAILABLE"})
        assert house.answers() == 1
        house.configure(f"{M} model_version_policy {{ all {{}} }}")
        assert [house.answers(version=version) for version in (1, 2, 3)] == [1, 2, 3]

    def test_one_that_is_still_being_copied_is_waited_for(self, house: House, tmp_path: Path) -> None:
        house.put(1)
        house.configure(M)
        copied = tmp_path / "m" / "2"
        copied.mkdir()
        house.manager.poll()
        assert (house.answers(), house.states()) == (1, {1: "AVAILABLE"})
        shutil.rmtree(copied)
        house.put(2)
        house.manager.poll()
        assert house.answers() == 2

    def test_one_that_does_not_load_leaves_the_old_one(self, house: House, tmp_path: Path) -> None:
        house.put(1)
        house.configure(M)
        (tmp_path / "m" / "2").mkdir()
        (tmp_path / "m" / "2" / "saved_model.pb").write_bytes(b"\xff" * 9)
        house.manager.poll()
        assert house.states() == {2: "END", 1: "AVAILABLE"}
        broken, __ = house.manager.status(model_pb2.ModelSpec(name="m")).model_version_status
        assert broken.status.error_code
        assert "holds no SavedModel that loads" in broken.status.error_message
        assert house.answers() == 1

    def test_a_folder_that_is_away_for_a_moment_changes_nothing(self, house: House, tmp_path: Path) -> None:
        house.put(1)
        house.configure(M)
        (tmp_path / "m").rename(tmp_path / "away")
        house.manager.poll()
        assert house.answers() == 1

    def test_a_folder_without_versions_empties_the_house(self, house: House) -> None:
        only = house.put(1)
        house.configure(M)
        only.unlink()
        house.manager.poll()
        assert house.refuses() == (grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(m)")
        until("end of it", lambda: house.states() == {1: "END"})


def test_what_did_not_load_is_tried_again(tmp_path: Path, half_plus_two: Path) -> None:
    house = House(tmp_path, half_plus_two, retries=1)
    house.put(1)
    house.configure(M)
    folder = tmp_path / "m" / "2"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"\xff")
    house.manager.poll()
    assert house.states() == {2: "LOADING", 1: "AVAILABLE"}
    shutil.rmtree(folder)
    house.put(2)
    house.manager.poll()
    assert house.answers() == 2


class TestLabels:
    ALL = M + " model_version_policy { all {} }"
    LABELLED = ALL + " version_labels { key: '%s' value: %d }"

    def test_a_label_names_a_version_that_is_loaded(self, house: House) -> None:
        house.put(1)
        house.put(2)
        house.configure(f"{M} model_version_policy {{ all {{}} }}")
        house.configure(self.LABELLED % ("stable", 1))
        assert (house.answers(label="stable"), house.answers()) == (1, 2)
        house.configure(self.LABELLED % ("stable", 2))
        assert house.answers(label="stable") == 2
        assert house.refuses(label="canary") == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "Unrecognized servable version label: canary",
        )

    def test_no_label_for_what_is_not_loaded(self, house: House) -> None:
        house.put(1)
        house.configure(self.ALL)
        with pytest.raises(ServingError) as told:
            house.configure(self.LABELLED % ("canary", 2))
        assert told.value.code is grpc.StatusCode.FAILED_PRECONDITION
        assert told.value.message == (
            "Request to assign label to version 2 of model m, which is not currently available for inference"
        )
        assert house.refuses(label="canary")[1] == "Unrecognized servable version label: canary"

    def test_new_labels_may_wait_and_old_ones_may_not(self, tmp_path: Path, half_plus_two: Path) -> None:
        house = House(tmp_path, half_plus_two, labels_may_wait=True)
        house.put(1)
        house.configure(self.LABELLED % ("stable", 1))
        assert house.answers(label="stable") == 1
        with pytest.raises(ServingError, match="not currently available"):
            house.configure(self.LABELLED % ("stable", 2))


class TestConfiguration:
    def test_models_come_and_go(self, house: House) -> None:
        house.put(1)
        house.put(7, "other")
        house.configure(M)
        house.configure(M, "name: 'other' base_path: '@/other'")
        assert (house.answers(), house.answers("other")) == (1, 7)
        house.configure("name: 'other' base_path: '@/other'")
        assert house.refuses()[0] is grpc.StatusCode.NOT_FOUND
        until("end of it", lambda: house.states() == {1: "END"})
        assert house.answers("other") == 7

    def test_a_new_model_that_is_not_there_changes_nothing(self, house: House) -> None:
        house.put(1)
        house.configure(M)
        with pytest.raises(ServingError) as told:
            house.configure("name: 'none' base_path: '@/none'")
        assert told.value.code is grpc.StatusCode.NOT_FOUND
        assert "Unable to find a numerical version path for servable none at: " in told.value.message
        assert house.answers() == 1

    def test_a_new_model_that_does_not_load_is_told(self, house: House, tmp_path: Path) -> None:
        house.put(1)
        house.configure(M)
        (tmp_path / "new" / "3").mkdir(parents=True)
        (tmp_path / "new" / "3" / "saved_model.pb").write_bytes(b"\xff")
        with pytest.raises(ServingError) as told:
            house.configure(M, "name: 'new' base_path: '@/new'")
        assert told.value.code is grpc.StatusCode.UNKNOWN
        assert told.value.message.startswith("1 model(s) did not become available: {{{name: new version: 3} due to")
        assert house.answers() == 1

    def test_its_file_is_read_again(self, house: House, tmp_path: Path) -> None:
        house.put(1)
        file = tmp_path / "models.config"
        house.configure(M)
        stop = threading.Event()
        watch = threading.Thread(target=house.manager.watch, args=(stop, 0.02, file, 0.02))
        watch.start()
        try:
            house.put(2)
            until("answer of the second", lambda: house.answers() == 2)
            file.write_text("not a configuration")
            house.put(3)
            until("answer of the third", lambda: house.answers() == 3)
            house.put(5, "other")
            file.write_text(text_format.MessageToString(house.config("name: 'other' base_path: '@/other'")))
            until("other model alone", lambda: house.manager.names() == ["other"])
            until(
                "other model that is there",
                lambda: house.manager.knows("other") and house.states("other") == {5: "AVAILABLE"},
            )
            assert house.answers("other") == 5
        finally:
            stop.set()
            watch.join(20)


class TestNaming:
    def test_names_that_are_none(self, house: House) -> None:
        house.put(1)
        house.configure(M)
        assert house.refuses("") == (grpc.StatusCode.INVALID_ARGUMENT, "ModelSpec has no name specified.")
        for ask, message in (
            (model_pb2.ModelSpec(name="x"), "Could not find any versions of model x"),
            (model_pb2.ModelSpec(name="m", version={"value": 3}), "Could not find version 3 of model m"),
        ):
            with pytest.raises(ServingError) as told:
                house.manager.status(ask)
            assert (told.value.code, told.value.message) == (grpc.StatusCode.NOT_FOUND, message)

    def test_version_0_is_the_newest_as_openvinos_client_means_it(self, house: House) -> None:
        house.put(3)
        house.configure(M)
        assert house.answers(version=0) == 3
