"""Steps, their order, and what is kept of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cctv.pipeline.plugins.plugin_utils.build_graph import Build, Failed, Step, Task, remove, tree
from waiting import until

ROOT = Path(__file__).resolve().parents[3]


class Bench:
    """A cache, and what was said and done."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache"
        self.said: list[str] = []
        self.done: list[str] = []

    def step(self, name: str, content: str = "", needs: tuple[str, ...] = (), **options: Any) -> Step:
        def make(task: Task) -> None:
            self.done.append(name)
            read = "".join(Path(task.path(need, "content")).read_text() for need in needs)
            Path(task.folder, "content").write_text(f"{read}{content};")

        return Step(name, make, **{"inputs": content, "needs": needs} | options)

    def run(self, *steps: Step, jobs: int = 2, heartbeat: float = 30.0) -> Build:
        self.done.clear()
        self.said.clear()
        build = Build(str(self.cache), jobs, self.said.append, heartbeat)
        build.run(list(steps))
        return build


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def content(build: Build, name: str) -> str:
    return Path(build.results[name].folder, "content").read_text()


def test_what_is_made_is_kept(bench: Bench) -> None:
    steps = bench.step("one", "1"), bench.step("two", "2", ("one",)), bench.step("three", "3", ("two", "one"))
    build = bench.run(*steps)
    assert bench.done == ["one", "two", "three"]
    assert content(build, "three") == "1;2;1;3;"
    assert [line.split("  ", 1)[1].split()[:2] for line in bench.said][:2] == [["start", "one"], ["done", "one"]]
    assert bench.said[-1].endswith("[3/3]")
    build = bench.run(*steps)
    assert (bench.done, bench.said, build.changed) == ([], [], [])
    assert content(build, "three") == "1;2;1;3;"


def test_only_what_changed_is_made_again(bench: Bench) -> None:
    bench.run(bench.step("one", "1"), bench.step("other", "o"), bench.step("two", "2", ("one", "other")))
    build = bench.run(bench.step("one", "!"), bench.step("other", "o"), bench.step("two", "2", ("one", "other")))
    assert bench.done == ["one", "two"]
    assert content(build, "two") == "!;o;2;"
    # The one before is still there.
    bench.run(bench.step("one", "1"), bench.step("other", "o"), bench.step("two", "2", ("one", "other")))
    assert bench.done == []


def test_an_equal_result_changes_nothing_after_it(bench: Bench) -> None:
    bench.run(bench.step("one", "1"), bench.step("two", "2", ("one",)))
    bench.run(bench.step("one", "1", inputs="another version of a tool"), bench.step("two", "2", ("one",)))
    assert bench.done == ["one"]
    bench.run(bench.step("one", "1", refresh=True), bench.step("two", "2", ("one",)))
    assert bench.done == ["one"]


def test_old_results_go(bench: Bench) -> None:
    for number in range(5):
        bench.run(bench.step("one", str(number)))
        time.sleep(0.01)
    kept = list((bench.cache / "steps/one").iterdir())
    assert {(path / "made/content").read_text() for path in kept} == {"3;", "4;"}


def test_results_of_other_builds_stay_for_a_while(bench: Bench) -> None:
    bench.run(bench.step("other", "1"))
    bench.run(bench.step("one", "1"))
    (kept,) = (bench.cache / "steps/other").iterdir()
    os.utime(kept, (0, 0))
    bench.run(bench.step("one", "1"))
    assert not kept.parent.exists()


def test_telling_what_would_be_done_touches_nothing(bench: Bench) -> None:
    steps = [bench.step("one", "1"), bench.step("two", "2", ("one",))]
    assert Build(str(bench.cache), 2, print).would(steps) == ["one", "two"]
    assert not bench.cache.exists()
    bench.run(*steps)
    before = {path: path.stat().st_mtime_ns for path in bench.cache.rglob("*")}
    assert Build(str(bench.cache), 2, print).would(steps) == []
    assert Build(str(bench.cache), 2, print).would([bench.step("one", "!"), steps[1]]) == ["one", "two"]
    assert {path: path.stat().st_mtime_ns for path in bench.cache.rglob("*")} == before


def test_independent_steps_run_at_the_same_time_the_longest_first(bench: Bench) -> None:
    together = threading.Barrier(2, timeout=10)

    def make(task: Task) -> None:
        bench.done.append(task.name)
        together.wait()

    bench.run(Step("short", make, weight=1), Step("long", make, weight=5))
    assert bench.done[0] == "long"
    chain = bench.step("first"), bench.step("rest", "", ("first",), weight=10), bench.step("alone", weight=5)
    bench.run(*chain, jobs=1)
    assert bench.done == ["first", "rest", "alone"]


def test_long_steps_are_told(bench: Bench) -> None:
    bench.run(Step("long", lambda task: task.run(["sleep", "1.6"])), heartbeat=0.5)
    assert [line for line in bench.said if "runs   long for " in line]


def test_a_failure_shows_the_command_and_its_end_and_ends_the_others(bench: Bench, tmp_path: Path) -> None:
    def fail(task: Task) -> None:
        task.run(
            ["sh", "-c", f"until [ -e {tmp_path}/child ]; do sleep 0.05; done; seq 100; echo no such thing >&2; exit 3"]
        )

    def stay(task: Task) -> None:
        # A command that has started another one.
        script = "sleep 300 & echo $! > new; mv new child; wait; touch over"
        task.run(["sh", "-c", f"cd {tmp_path}; {script}"])

    with pytest.raises(Failed) as failed:
        bench.run(Step("broken", fail), Step("other", stay))
    assert not (tmp_path / "over").exists()
    message = str(failed.value)
    assert message.startswith("broken: sh -c ")
    assert "ended with 3\n" in message
    assert "  | no such thing\n" in message
    assert f"(all of it: {bench.cache}/logs/broken.log)" in message
    assert not alive(int((tmp_path / "child").read_text()))
    assert list((bench.cache / "work").iterdir()) == []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_temporary_files_go_with_the_step(bench: Bench) -> None:
    def make(task: Task) -> None:
        task.run(["sh", "-c", 'mktemp > "$0"', os.path.join(task.folder, "content")])

    build = bench.run(Step("one", make))
    path = Path(content(build, "one").strip())
    assert path.is_relative_to(bench.cache / "work")
    assert not path.exists()


def test_what_was_done_before_a_failure_is_not_done_again(bench: Bench) -> None:
    def fail(task: Task) -> None:
        raise Failed("broken")

    with pytest.raises(Failed):
        bench.run(bench.step("one", "1"), Step("two", fail, needs=["one"]))
    bench.run(bench.step("one", "1"), bench.step("two", "2", ("one",)))
    assert bench.done == ["two"]


KILLED = """\
import sys
from pathlib import Path
from ansible_collections.cctv.pipeline.plugins.plugin_utils.build_graph import Build, Step

def first(task):
    Path(task.folder, "content").write_text("1;")

def second(task):
    Path(task.folder, "content").write_text("half")
    task.run(["sh", "-c", "echo $$ > %s; exec sleep 300" % sys.argv[2]])

Build(sys.argv[1], 2, print).run([Step("one", first, inputs="1"), Step("two", second, inputs="2", needs=["one"])])
"""


def test_a_build_that_is_killed_leaves_nothing_running_and_goes_on(bench: Bench, tmp_path: Path) -> None:
    child = tmp_path / "child"
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(bench.cache), str(child)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "collections")},
    )
    until("process that runs", lambda: child.exists() and child.read_text().strip() != "")
    pid = int(child.read_text())
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    until("end of the process", lambda: not alive(pid))
    assert list((bench.cache / "work").iterdir()) != []
    build = bench.run(bench.step("one", "1"), bench.step("two", "2", ("one",)))
    assert bench.done == ["two"]
    assert content(build, "two") == "1;2;"
    assert list((bench.cache / "work").iterdir()) == []


def test_a_result_that_is_elsewhere_is_asked_for(bench: Bench, tmp_path: Path) -> None:
    place = tmp_path / "place"

    def make(task: Task) -> None:
        bench.done.append("place")
        place.write_text(Path(task.path("one", "content")).read_text())

    def current(task: Task) -> bool:
        return place.exists() and place.read_text() == Path(task.path("one", "content")).read_text()

    steps = bench.step("one", "1"), Step("place", make, needs=["one"], current=current)
    bench.run(*steps)
    assert bench.done == ["one", "place"]
    bench.run(*steps)
    assert bench.done == []
    place.write_text("something else")
    bench.run(*steps)
    assert bench.done == ["place"]


def test_an_unreadable_result_is_made_again(bench: Bench) -> None:
    bench.run(bench.step("one", "1"))
    (made,) = (bench.cache / "steps/one").iterdir()
    (made / "result.json").write_text("{")
    assert content(bench.run(bench.step("one", "1")), "one") == "1;"
    assert bench.done == ["one"]
    assert json.loads((made / "files.json").read_text())["content"][1] is False


def test_a_tree_tells_files_modes_and_links(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    (folder / "in").mkdir(parents=True)
    (folder / "in/file").write_text("content")
    (folder / "program").write_text("content")
    (folder / "program").chmod(0o755)
    (folder / "link").symlink_to("in")
    found = tree(str(folder))
    assert found["in/file"][0] == found["program"][0]
    assert {name: entry[1] for name, entry in found.items()} == {"in/file": False, "link": False, "program": True}
    assert found["link"][0] == "-> in"
    remove(str(folder))
    assert not folder.exists()
