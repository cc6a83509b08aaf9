# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Steps that depend on each other, run in parallel, each kept in a cache by the hash of all it read.

A step fills a folder of its own. That folder appears in the cache by a rename, so what is there is complete, and an
interrupted build goes on where it was. A step's key includes the content of what it needs, not how that was made: when
an earlier step runs again and makes the same, later ones stay.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from ansible_collections.cctv.pipeline.plugins.module_utils.files import sha256

TAIL = 25
"""Lines of a failed command that are shown."""
KEPT = 2
"""Results of a step that stay in the cache: the one in use, and the one before."""
UNUSED = 30 * 24 * 3600
"""Seconds after which the result of a step that the build does not have goes, too."""
GRACE = 15
"""Seconds that a command has to end when told to."""


class Failed(Exception):
    """A step that cannot be done; the message is for a person."""


class Stopped(Exception):
    """A step that was ended because of something else."""


def digest_of(value):
    """Return the SHA-256 of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def walk(folder, skip=()):
    """Yield the path of every file and link below ``folder``, relative to it, sorted."""
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in skip)
        links = [name for name in folders if os.path.islink(os.path.join(path, name))]
        folders[:] = [name for name in folders if name not in links]
        for name in sorted(names + links):
            yield os.path.relpath(os.path.join(path, name), folder)


def tree(folder, skip=()):
    """Return ``{path: [what, executable]}`` of a folder; what is a SHA-256, or where a link leads."""
    found = {}
    for name in walk(folder, skip):
        path = os.path.join(folder, name)
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            found[name] = ["-> " + os.readlink(path), False]
        elif stat.S_ISREG(status.st_mode):
            found[name] = [sha256(path), bool(status.st_mode & stat.S_IXUSR)]
    return found


def remove(folder):
    """Remove a folder, also one that belongs to the users of a user namespace."""
    if not os.path.lexists(folder):
        return
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
        places = [line.split()[1] for line in mounts]
    # A buildah that was ended leaves its storage mounted.
    for place in reversed(places):
        if place.startswith(os.path.realpath(folder) + "/"):
            run("umount", "--lazy", place)
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.lexists(folder):
        subprocess.run(
            ["unshare", "--map-auto", "--map-root-user", "--", "rm", "-rf", "--", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )


class Step:
    """Something to make.

    ``make`` is called with a Task and fills ``task.folder``. ``inputs`` is all that it reads besides the results of the
    steps it ``needs``. ``refresh`` makes it anew though it is cached. A step with ``current`` keeps its result somewhere
    else than in the cache; ``current`` is called with a Task and says whether that is up to date.
    """

    def __init__(self, name, make, inputs=None, needs=(), weight=1, refresh=False, current=None):
        self.name = name
        self.make = make
        self.inputs = inputs
        self.needs = list(needs)
        self.weight = weight
        self.refresh = refresh
        self.current = current


class Result:
    """What a step made: ``folder``, and ``digest`` of what is in it."""

    def __init__(self, folder, digest):
        self.folder = folder
        self.digest = digest

    def files(self):
        """Return ``{path: [sha256, executable]}``, as it was when the step was done."""
        with open(os.path.join(os.path.dirname(self.folder), "files.json"), encoding="utf-8") as source:
            return json.load(source)


class Task:
    """A step that runs: its folder, the results it needs, and a way to run commands that end with the build."""

    def __init__(self, build, step, folder, work):
        self.build = build
        self.name = step.name
        self.folder = folder
        self.work = work
        self.temporary = []
        """Folders elsewhere that go with this one."""
        self.started = time.monotonic()
        self.results = {name: build.results[name] for name in step.needs}
        self.log = os.path.join(build.cache, "logs", step.name.replace("/", "_") + ".log")

    def path(self, need, *names):
        """Return a path in what another step made."""
        return os.path.join(self.results[need].folder, *names)

    def run(self, command, env=None, cwd=None, change=None, read=""):
        """Run a command, whose output goes to the step's log; return it if it is to be read: "output", or "all"."""
        environment = dict(os.environ if env is None else env)
        # What a command that is ended leaves there goes with the step.
        environment["TMPDIR"] = os.path.join(self.work, "tmp")
        os.makedirs(environment["TMPDIR"], exist_ok=True)
        environment.update(change or {})
        with tempfile.TemporaryFile() as out, open(self.log, "ab") as log:
            log.write(("$ " + " ".join(command) + "\n").encode())
            log.flush()
            begin = log.tell()
            process = self.start(
                command,
                stdout=out if read else log,
                stderr=out if read == "all" else log,
                cwd=cwd,
                env=environment,
            )
            code = self.wait(process)
            out.seek(0)
            said = out.read()
            log.write(said)
        if code:
            raise Failed(self.explain("%s\nended with %s" % (" ".join(command), code), begin))
        return said.decode(errors="replace")

    def explain(self, what, begin=0):
        """Return a message with the last lines of this step's log."""
        with open(self.log, "rb") as log:
            log.seek(begin)
            lines = log.read().decode(errors="replace").splitlines()
        return "%s: %s\n%s\n(all of it: %s)" % (
            self.name,
            what,
            "\n".join("  | " + line for line in lines[-TAIL:]),
            self.log,
        )

    def start(self, command, **options):
        """Start a command that gets a signal when this thread ends, whatever ends it."""
        if self.build.stop.is_set():
            raise Stopped(self.name)
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--"] + list(command),
            stdin=subprocess.DEVNULL,
            # A group of its own: a command is ended with all that it started.
            start_new_session=True,
            **options,
        )

    def wait(self, process):
        """Wait for a command's end; end it when the build is stopped."""
        while True:
            try:
                return process.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                if self.build.stop.is_set():
                    self.end(process)
                    raise Stopped(self.name) from None

    @staticmethod
    def end(process):
        """End a command and what it started, also what it left behind."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=GRACE)


class Build:
    """Runs steps. ``say`` is only called from the thread that calls ``run``."""

    def __init__(self, cache, jobs, say, heartbeat=30.0):
        self.cache = cache
        self.jobs = jobs
        self.say = say
        self.heartbeat = heartbeat
        self.results = {}
        self.seconds = {}
        self.changed = []
        self.cached = []
        self.stop = threading.Event()

    def _place(self, step, key):
        return os.path.join(self.cache, "steps", step.name.replace("/", "_"), key[:20])

    def _key(self, step):
        """Return a step's key, or None as long as something that it needs is not made."""
        if any(name not in self.results for name in step.needs):
            return None
        needs = {name: self.results[name].digest for name in step.needs}
        return digest_of({"name": step.name, "inputs": step.inputs, "needs": needs})

    @staticmethod
    def _read(place):
        """Return the Result in a place of the cache, or None."""
        try:
            with open(os.path.join(place, "result.json"), encoding="utf-8") as source:
                return Result(os.path.join(place, "made"), json.load(source)["digest"])
        except (OSError, ValueError, KeyError):
            return None

    def would(self, steps):
        """Return the names of the steps that ``run`` would do, without doing anything."""
        missing = []
        for step in steps:
            key = self._key(step)
            if step.current:
                result = Result(None, "") if key and step.current(Task(self, step, None, None)) else None
            else:
                result = self._read(self._place(step, key)) if key and not step.refresh else None
            if result is None:
                missing.append(step.name)
            else:
                self.results[step.name] = result
        return missing

    def run(self, steps):
        """Make all that is not made yet; ``steps`` come after what they need."""
        for folder in ("logs", "steps", "work"):
            os.makedirs(os.path.join(self.cache, folder), exist_ok=True)
        # Only one build at a time uses a cache, so these are of one that was interrupted.
        for name in os.listdir(os.path.join(self.cache, "work")):
            remove(os.path.join(self.cache, "work", name))
        total, parent = len(steps), os.getppid()
        waiting, running = list(steps), {}
        priority = _priorities(steps)
        pool = ThreadPoolExecutor(self.jobs)
        told = time.monotonic()
        try:
            while waiting or running:
                ready = [step for step in waiting if all(name in self.results for name in step.needs)]
                for step in sorted(ready, key=lambda step: -priority[step.name]):
                    if self._take(step):
                        waiting.remove(step)
                        break
                    if len(running) < self.jobs:
                        waiting.remove(step)
                        task = self._task(step)
                        running[pool.submit(self._do, step, task)] = (step, task)
                        self.say("%s  %-5s  %s" % (_clock(), "start", step.name))
                else:
                    if not running:
                        raise Failed("steps need each other: %s" % ", ".join(step.name for step in waiting))
                    done = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)[0]
                    for future in done:
                        step, task = running.pop(future)
                        self.results[step.name] = future.result()
                        self.changed.append(step.name)
                        self.seconds[step.name] = seconds = round(time.monotonic() - task.started, 1)
                        self.say(
                            "%s  %-5s  %s in %.1f s  [%d/%d]"
                            % (_clock(), "done", step.name, seconds, len(self.results), total)
                        )
                        told = time.monotonic()
                    if time.monotonic() - told >= self.heartbeat:
                        told = time.monotonic()
                        self.say("%s  %-5s  %s" % (_clock(), "runs", _since(running.values())))
                    if os.getppid() != parent:
                        raise Failed("the playbook that this build belongs to has ended")
        finally:
            self.stop.set()
            if running:
                self.say("%s  %-5s  %s" % (_clock(), "ends", _since(running.values())))
            pool.shutdown(wait=True)
        self._prune(steps)

    def _task(self, step):
        work = tempfile.mkdtemp(prefix=step.name.replace("/", "_") + "-", dir=os.path.join(self.cache, "work"))
        # Programs that become other users have to get in.
        os.chmod(work, 0o755)
        folder = os.path.join(work, "made")
        os.mkdir(folder)
        task = Task(self, step, folder, os.path.join(work, "work"))
        os.mkdir(task.work)
        if os.path.exists(task.log):
            os.unlink(task.log)
        return task

    def _take(self, step):
        """Take a step's result from where it is, if it is there."""
        if step.refresh:
            return False
        if step.current:
            result = Result(None, "") if step.current(Task(self, step, None, None)) else None
        else:
            place = self._place(step, self._key(step))
            result = self._read(place)
            if result:
                os.utime(place)
        if result is None:
            return False
        self.results[step.name] = result
        self.cached.append(step.name)
        return True

    def _do(self, step, task):
        try:
            step.make(task)
            if step.current:
                return Result(None, "")
            files = tree(task.folder)
            base = os.path.dirname(task.folder)
            remove(task.work)
            for name, content in (("files.json", files), ("result.json", {"digest": digest_of(files)})):
                with open(os.path.join(base, name), "w", encoding="utf-8") as out:
                    json.dump(content, out, sort_keys=True)
            place = self._place(step, self._key(step))
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if os.path.exists(place):
                os.rename(place, os.path.join(self.cache, "work", os.path.basename(base) + "-before"))
            os.rename(base, place)
            return self._read(place)
        finally:
            for folder in [os.path.dirname(task.folder)] + task.temporary:
                remove(folder)

    def _prune(self, steps):
        """Remove what was not used for longest."""
        for name in os.listdir(os.path.join(self.cache, "work")):
            remove(os.path.join(self.cache, "work", name))
        used = {os.path.dirname(self.results[step.name].folder) for step in steps if not step.current}
        mine = {os.path.dirname(place) for place in used}
        parent = os.path.join(self.cache, "steps")
        for name in os.listdir(parent):
            folder = os.path.join(parent, name)
            places = [os.path.join(folder, key) for key in os.listdir(folder)]
            places.sort(key=lambda place: (place not in used, -os.stat(place).st_mtime))
            # Other playbooks may use the cache for steps of their own.
            recent = [place for place in places if folder in mine or os.stat(place).st_mtime > time.time() - UNUSED]
            for place in places:
                if place not in recent[:KEPT]:
                    remove(place)
            if not recent:
                remove(folder)


def _priorities(steps):
    """Return how long it takes from the start of each step to the end of all, about."""
    found = {}
    for step in reversed(steps):
        after = [found[other.name] for other in steps if step.name in other.needs]
        found[step.name] = step.weight + max(after, default=0)
    return found


def _clock():
    return time.strftime("%H:%M:%S")


def _since(running):
    now = time.monotonic()
    return ", ".join("%s for %.0f s" % (step.name, now - task.started) for step, task in running)


def run(*command, **options):
    """Return what a short command says, or None when it cannot be run."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False, **options
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
