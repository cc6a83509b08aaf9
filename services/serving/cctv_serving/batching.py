"""Server-side batching: requests that are alike run together, by the rules of TensorFlow Serving's batching session."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from cctv_serving.monitoring import Monitoring
from cctv_serving.status import ServingError, invalid

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]
Run = Callable[[Feeds, tuple[str, ...]], list[Array]]


@dataclass(frozen=True)
class Parameters:
    """BatchingParameters, with the defaults of TensorFlow's SharedBatchScheduler."""

    max_batch_size: int = 1000
    max_execution_batch_size: int = 1000
    timeout_s: float = 0.0
    max_enqueued_batches: int = 10
    split: bool = False
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length: bool = False

    @classmethod
    def of(cls, said: Any) -> Parameters:
        """Take them from the message; raises ServingError when they contradict each other."""

        def number(name: str, default: int, least: int) -> int:
            if not said.HasField(name):
                return default
            value: int = getattr(said, name).value
            if value < least:
                raise invalid(f"{name} must be at least {least}; was {value}")
            return value

        size = number("max_batch_size", cls.max_batch_size, 1)
        split = said.enable_large_batch_splitting.value
        execution = number("max_execution_batch_size", size, 1) if split else size
        if execution > size:
            raise invalid(f"max_execution_batch_size must be at most max_batch_size, {size}; was {execution}")
        allowed = tuple(said.allowed_batch_sizes)
        if allowed and allowed[-1] != size:
            raise invalid(
                f"Last entry in allowed_batch_sizes must match max_batch_size; last entry was {allowed[-1]}; "
                f"expected {size}"
            )
        if list(allowed) != sorted(set(allowed)) or (allowed and allowed[0] < 1):
            raise invalid(f"allowed_batch_sizes must be in increasing order, from 1 on; was {list(allowed)}")
        return cls(
            max_batch_size=size,
            max_execution_batch_size=execution,
            timeout_s=number("batch_timeout_micros", 0, 0) / 1e6,
            max_enqueued_batches=number("max_enqueued_batches", cls.max_enqueued_batches, 1),
            split=split,
            allowed_batch_sizes=allowed,
            pad_variable_length=said.pad_variable_length_inputs,
        )


@dataclass
class _Task:
    feeds: Feeds
    size: int
    wanted: Callable[[], bool]
    since: float = field(default_factory=time.monotonic)
    answer: Future[list[Array]] = field(default_factory=Future)


@dataclass
class _Batch:
    since: float = 0.0
    size: int = 0
    tasks: list[_Task] = field(default_factory=list)


class Threads:
    """The threads that run batches, shared by all queues, which take turns."""

    def __init__(self, count: int, name: str = "") -> None:
        self.name = name
        self.changed = threading.Condition()
        self._queues: deque[Queue] = deque()
        for number in range(count):
            threading.Thread(target=self._work, name=f"batch-{number}", daemon=True).start()

    def add(self, queue: Queue) -> None:
        """Take a queue in."""
        with self.changed:
            self._queues.append(queue)

    def remove(self, queue: Queue) -> None:
        """Forget a queue; what is in it has been answered."""
        with self.changed:
            self._queues.remove(queue)

    def queued(self) -> int:
        """How many tasks wait."""
        with self.changed:
            return sum(queue.length() for queue in self._queues)

    def _work(self) -> None:
        while True:
            queue, tasks = self._next()
            queue.process(tasks)
            # Not kept until the next one comes: a model may be gone by then.
            del queue, tasks

    def _next(self) -> tuple[Queue, list[_Task]]:
        with self.changed:
            while True:
                now = time.monotonic()
                due = [queue.due() for queue in self._queues]
                for __ in range(len(self._queues)):
                    queue = self._queues[0]
                    self._queues.rotate(-1)
                    if queue.due() <= now:
                        self.changed.notify()  # another thread looks after what else there is
                        return queue, queue.take()
                soonest = min(due, default=float("inf"))
                self.changed.wait(None if soonest == float("inf") else soonest - now)


class Queue:
    """Tasks of one model and one set of inputs and outputs, gathered into batches."""

    def __init__(
        self, parameters: Parameters, threads: Threads, run: Callable[[Feeds], list[Array]], monitoring: Monitoring
    ) -> None:
        self._parameters = parameters
        self._run = run
        self._threads = threads
        self._monitoring = monitoring
        self._batches: deque[_Batch] = deque([_Batch()])
        threads.add(self)

    def close(self) -> None:
        """Leave the threads."""
        self._threads.remove(self)

    def put(self, tasks: Sequence[_Task]) -> None:
        """Take all of the tasks in; raises ServingError (UNAVAILABLE) when there is no room."""
        with self._threads.changed:
            for task in tasks:
                if self._batches[-1].size + task.size > self._parameters.max_execution_batch_size:
                    self._batches.append(_Batch())
                batch = self._batches[-1]
                if not batch.tasks:
                    batch.since = task.since
                batch.tasks.append(task)
                batch.size += task.size
            self._threads.changed.notify()

    def check_room(self, size: int) -> None:
        """Raise ServingError (UNAVAILABLE) unless a task of ``size`` fits in, split or not."""
        parameters = self._parameters
        batches, tail = len(self._batches), self._batches[-1].size
        full = "The batch scheduling queue to which this task was submitted is full; "
        if parameters.split:
            limit = parameters.max_execution_batch_size
            capacity = (parameters.max_enqueued_batches - batches) * limit + limit - tail
            if size > capacity:
                raise ServingError(
                    grpc.StatusCode.UNAVAILABLE,
                    f"{full}task size is {size} but scheduling capacity is only {capacity} "
                    f"(num_enqueued_batches={batches}, max_enqueued_batches={parameters.max_enqueued_batches}, "
                    f"open_batch_size={tail}, max_execution_batch_size={limit})",
                )
        elif tail + size > parameters.max_batch_size and batches >= parameters.max_enqueued_batches:
            raise ServingError(
                grpc.StatusCode.UNAVAILABLE,
                f"{full}currently {batches} batches enqueued and max_enqueued_batches is "
                f"{parameters.max_enqueued_batches}",
            )

    def pieces(self, size: int) -> list[int]:
        """The sizes of the parts that a task of ``size`` is cut into: one, unless large ones are split."""
        limit = self._parameters.max_execution_batch_size
        first = limit - self._batches[-1].size
        if not self._parameters.split or size <= first:
            return [size]
        sizes = [first] if first > 0 else []
        while (rest := size - sum(sizes)) > 0:
            sizes.append(min(rest, limit))
        return sizes

    def due(self) -> float:
        """When the first batch may run, by the monotonic clock."""
        first = self._batches[0]
        if not first.tasks:
            return float("inf")
        if len(self._batches) > 1 or first.size >= self._parameters.max_execution_batch_size:
            return 0.0
        return first.since + self._parameters.timeout_s

    def length(self) -> int:
        """How many tasks are in the queue."""
        return sum(len(batch.tasks) for batch in self._batches)

    def take(self) -> list[_Task]:
        """Take the first batch out."""
        batch = self._batches.popleft()
        if not self._batches:
            self._batches.append(_Batch())
        return batch.tasks

    def process(self, tasks: list[_Task]) -> None:
        """Run a batch and answer its tasks; what nobody waits for any more is left out."""
        running = [task for task in tasks if task.wanted() and task.answer.set_running_or_notify_cancel()]
        for task in tasks:
            if not task.answer.running():
                task.answer.cancel()
        now = time.monotonic()
        for task in running:
            self._monitoring.queuing_latency.labels(self._threads.name).observe((now - task.since) * 1e6)
        if running:
            self._answer(running)

    def _answer(self, tasks: list[_Task]) -> None:
        try:
            merged = merge(tasks, self._parameters)
            self._count(batch_size(merged), sum(task.size for task in tasks))
            answers = split_outputs(self._run(merged), tasks, self._parameters)
        except Exception as error:
            if len(tasks) > 1 and isinstance(error, ServingError):
                # One picture that is none would spoil the answers of all that came with it.
                for task in tasks:
                    self._answer([task])
                return
            for task in tasks:
                task.answer.set_exception(error)
            return
        for task, outputs in zip(tasks, answers, strict=True):
            task.answer.set_result(outputs)

    def _count(self, size: int, items: int) -> None:
        self._monitoring.batch_runs.inc()
        self._monitoring.batch_size.observe(size)
        self._monitoring.padding.labels(str(size)).observe(size - items)


class Batches:
    """Runs a model's requests in batches."""

    def __init__(self, run: Run, parameters: Parameters, threads: Threads, monitoring: Monitoring) -> None:
        self._run = run
        self._parameters = parameters
        self._threads = threads
        self._monitoring = monitoring
        self._queues: dict[tuple[object, ...], Queue] = {}

    def close(self) -> None:
        """Release the threads from this model."""
        for queue in self._queues.values():
            queue.close()
        self._queues.clear()

    def run(
        self, feeds: Feeds, fetches: tuple[str, ...], remaining_s: float | None, wanted: Callable[[], bool]
    ) -> list[Array]:
        """Wait for a batch, and for its answer's part that is of ``feeds``."""
        parameters = self._parameters
        size = batch_size(feeds)
        if size > parameters.max_batch_size:
            raise invalid(f"Task size {size} is larger than maximum input batch size {parameters.max_batch_size}")
        self._monitoring.input_batch_size.observe(size)
        with self._threads.changed:
            queue = self._queue(feeds, fetches)
            queue.check_room(size)
            tasks = [_Task(part, batch_size(part), wanted) for part in cut(feeds, queue.pieces(size))]
            queue.put(tasks)
        deadline = None if remaining_s is None else time.monotonic() + remaining_s
        parts = [self._wait(task, deadline) for task in tasks]
        if len(parts) == 1:
            return parts[0]
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def _wait(self, task: _Task, deadline: float | None) -> list[Array]:
        try:
            return task.answer.result(None if deadline is None else max(deadline - time.monotonic(), 0))
        except TimeoutError:
            if task.answer.cancel():
                raise ServingError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED, "Run() timeout exceeded while waiting in batching queue"
                ) from None
            raise ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "Timed out waiting for notification") from None
        except CancelledError:
            raise ServingError(grpc.StatusCode.CANCELLED, "RunManyGraphs") from None

    def _queue(self, feeds: Feeds, fetches: tuple[str, ...]) -> Queue:
        # By types, too: two that differ cannot be joined, and the wrong one is the model's to refuse.
        key = (fetches, *((name, array.dtype.str) for name, array in sorted(feeds.items())))
        if key not in self._queues:
            self._queues[key] = Queue(
                self._parameters, self._threads, lambda merged: self._run(merged, fetches), self._monitoring
            )
        return self._queues[key]


def batch_size(feeds: Feeds) -> int:
    """How many items there are in a request; raises ServingError when its tensors disagree."""
    if not feeds:
        raise invalid("Batching Run() must have at least one input tensor")
    if any(array.ndim == 0 for array in feeds.values()):
        raise invalid("Batching Run() input tensors must have at least one dimension")
    sizes = {len(array) for array in feeds.values()}
    if len(sizes) > 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop()


def cut(feeds: Feeds, sizes: Sequence[int]) -> list[Feeds]:
    """The parts of a request, of the given sizes."""
    if len(sizes) == 1:
        return [feeds]
    ends = np.cumsum(sizes)
    return [
        {name: array[end - size : end] for name, array in feeds.items()} for size, end in zip(sizes, ends, strict=True)
    ]


def merge(tasks: Sequence[_Task], parameters: Parameters) -> Feeds:
    """Join the tasks' tensors, and fill up to an allowed size with the last task's first item."""
    size = sum(task.size for task in tasks)
    padding = _allowed(size, parameters) - size
    if len(tasks) == 1 and not padding:
        return tasks[0].feeds
    merged = {}
    for name in tasks[0].feeds:
        arrays = [task.feeds[name] for task in tasks]
        if len({array.shape[1:] for array in arrays}) > 1:
            if not parameters.pad_variable_length or len({array.ndim for array in arrays}) > 1:
                raise ServingError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Tensors with name '{name}' from different tasks have different shapes and padding is turned "
                    "off. Set pad_variable_length_inputs to true, or ensure that all tensors with the same name "
                    "have equal dimensions starting with the first dim.",
                )
            longest = np.max([array.shape for array in arrays], axis=0)
            arrays = [_padded(array, longest) for array in arrays]
        merged[name] = np.concatenate([*arrays, *[arrays[-1][:1]] * padding])
    return merged


def split_outputs(outputs: list[Array], tasks: Sequence[_Task], parameters: Parameters) -> list[list[Array]]:
    """Give each task its items of the answer."""
    sizes = [task.size for task in tasks]
    expected = _allowed(sum(sizes), parameters)
    for output in outputs:
        if output.ndim == 0:
            raise ServingError(grpc.StatusCode.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
        if len(output) != expected:
            raise ServingError(
                grpc.StatusCode.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
                "tensors",
            )
    ends = np.cumsum(sizes)
    return [[output[end - size : end] for output in outputs] for size, end in zip(sizes, ends, strict=True)]


def _allowed(size: int, parameters: Parameters) -> int:
    return next((allowed for allowed in parameters.allowed_batch_sizes if allowed >= size), size)


def _padded(array: Array, longest: npt.NDArray[Any]) -> Array:
    widths = [(0, 0), *((0, int(most - size)) for size, most in zip(array.shape[1:], longest[1:], strict=True))]
    if not any(after for __, after in widths):
        return array
    if not array.size:
        raise invalid("Got empty tensor in batch of non-empty tensors.")
    shape = [size + after for size, (__, after) in zip(array.shape, widths, strict=True)]
    padded = np.empty(shape, array.dtype)
    padded.fill(array.flat[0])  # np.full would take zeros off the end of bytes
    padded[tuple(slice(size) for size in array.shape)] = array
    return padded
