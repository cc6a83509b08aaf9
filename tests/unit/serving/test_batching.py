from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from cctv_serving import batching, messages
from cctv_serving.batching import Batches, Parameters, Threads
from cctv_serving.monitoring import Monitoring
from cctv_serving.status import ServingError
from google.protobuf import text_format
from waiting import until


class Doubler:
    """A model that doubles what it is fed, refuses what is below zero, and can be held up."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.may_run = threading.Event()
        self.may_run.set()

    def __call__(self, feeds: batching.Feeds, fetches: tuple[str, ...]) -> list[np.ndarray]:
        (x,) = feeds.values()
        self.sizes.append(len(x))
        assert self.may_run.wait(20)
        if x.dtype != object and (x < 0).any():
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "below zero")
        return [x * 2 for __ in fetches]


@pytest.fixture
def model() -> Doubler:
    return Doubler()


@pytest.fixture
def clients(model: Doubler) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as pool:
        yield pool
        model.may_run.set()


class Bench:
    """Batches by the given parameters, and clients of them. While the model is held up, what they ask is gathered."""

    def __init__(self, model: Doubler, clients: ThreadPoolExecutor, text: str) -> None:
        self.model = model
        self.monitoring = Monitoring()
        said = text_format.Parse(text, messages.BatchingParameters())
        self.threads = Threads(1, "t")
        self.batches = Batches(model, Parameters.of(said), self.threads, self.monitoring)
        self._clients = clients
        self._asked = 0

    def ask(self, *values: Any, remaining_s: float | None = 20, wanted: Callable[[], bool] = lambda: True) -> Any:
        dtype = object if isinstance(values[0], bytes) else np.float32
        x = np.array(values, dtype)
        return self._clients.submit(self.batches.run, {"x": x}, ("y",), remaining_s, wanted)

    def hold_up(self) -> Future[Any]:
        self.model.may_run.clear()
        first = self.ask(100)
        until("run that is held up", lambda: self.model.sizes)
        return first

    def gather(self, *asked: tuple[float, ...], **more: Any) -> list[Future[Any]]:
        """Ask one after the other, each when the one before is in the queue."""
        futures = []
        for values in asked:
            futures.append(self.ask(*values, **more))
            self._asked += 1
            until("request in the queue", lambda: self.threads.queued() == self._asked)
        return futures


@pytest.fixture
def bench(model: Doubler, clients: ThreadPoolExecutor) -> Callable[..., Bench]:
    return lambda text="": Bench(model, clients, text)


def answers(futures: list[Future[Any]]) -> list[list[float]]:
    return [future.result(20)[0].tolist() for future in futures]


def refusal(future: Future[Any]) -> ServingError:
    with pytest.raises(ServingError) as told:
        future.result(20)
    return told.value


class TestGathering:
    def test_what_comes_meanwhile_runs_together_and_each_gets_its_own(self, bench: Any, model: Doubler) -> None:
        on = bench()
        first = on.hold_up()
        later = on.gather((1,), (2, 3), (4,))
        model.may_run.set()
        assert answers([first, *later]) == [[200], [2], [4, 6], [8]]
        assert model.sizes == [1, 4]

    def test_batches_have_a_largest_size(self, bench: Any, model: Doubler) -> None:
        on = bench("max_batch_size { value: 3 }")
        first = on.hold_up()
        later = on.gather((1, 2), (3, 4), (5,), (6,))
        model.may_run.set()
        assert answers([first, *later]) == [[200], [2, 4], [6, 8], [10], [12]]
        assert model.sizes == [1, 2, 3, 1]

    def test_a_batch_that_is_not_full_waits_for_more(self, bench: Any, model: Doubler) -> None:
        on = bench("max_batch_size { value: 3 } batch_timeout_micros { value: 20000000 }")
        assert answers([*on.gather((1,), (2,)), on.ask(3)]) == [[2], [4], [6]]
        assert model.sizes == [3]

    def test_a_batch_that_is_not_full_waits_so_long_only(self, bench: Any) -> None:
        assert answers([bench("max_batch_size { value: 3 } batch_timeout_micros { value: 1000 }").ask(1)]) == [[2]]

    def test_sizes_that_are_allowed_are_filled_up(self, bench: Any, model: Doubler) -> None:
        on = bench("max_batch_size { value: 8 } allowed_batch_sizes: [2, 4, 8]")
        first = on.hold_up()
        later = on.gather((1,), (2, 3))
        model.may_run.set()
        assert answers([first, *later]) == [[200], [2], [4, 6]]
        assert model.sizes == [2, 4]

    def test_large_requests_are_cut(self, bench: Any, model: Doubler) -> None:
        on = bench(
            "max_batch_size { value: 9 } max_execution_batch_size { value: 4 } "
            "enable_large_batch_splitting { value: true }"
        )
        first = on.hold_up()
        (small,) = on.gather((1,))
        large = on.ask(2, 3, 4, 5, 6, 7, 8, 9, 10)
        until("requests in the queue", lambda: on.threads.queued() == 4)
        model.may_run.set()
        assert answers([first, small, large]) == [[200], [2], [4, 6, 8, 10, 12, 14, 16, 18, 20]]
        assert model.sizes == [1, 4, 4, 2]

    def test_rows_of_several_lengths(self, bench: Any, model: Doubler) -> None:
        on = bench("pad_variable_length_inputs: true")
        first = on.hold_up()
        later = on.gather(([1],), ([2, 3, 4],))
        model.may_run.set()
        # With its own first value, as the real server does.
        assert answers([first, *later]) == [[200], [[2, 2, 2]], [[4, 6, 8]]]

    def test_bytes_stay_what_they_are(self) -> None:
        short, long = np.array([[b"a\0"]], object), np.array([[b"b\0", b"c"]], object)
        tasks = [batching._Task({"x": x}, 1, lambda: True) for x in (short, long)]
        merged = batching.merge(tasks, Parameters(pad_variable_length=True))
        assert merged["x"].tolist() == [[b"a\0", b"a\0"], [b"b\0", b"c"]]


class TestRefusing:
    def test_a_wrong_request_spoils_no_other(self, bench: Any, model: Doubler) -> None:
        on = bench()
        first = on.hold_up()
        wrong, right, row = on.gather((-1,), (2,), ([1, 2],))
        model.may_run.set()
        assert refusal(wrong).message == "below zero"
        assert answers([first, right, row]) == [[200], [4], [[2, 4]]]

    def test_a_request_larger_than_a_batch(self, bench: Any) -> None:
        error = refusal(bench("max_batch_size { value: 2 }").ask(1, 2, 3))
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT
        assert error.message == "Task size 3 is larger than maximum input batch size 2"

    def test_a_full_queue_says_so_at_once(self, bench: Any, model: Doubler) -> None:
        on = bench("max_batch_size { value: 2 } max_enqueued_batches { value: 2 }")
        first = on.hold_up()
        later = on.gather((1, 1), (2, 2))
        error = refusal(on.ask(3))
        assert (error.code, error.http_status) == (grpc.StatusCode.UNAVAILABLE, 503)
        assert error.message == (
            "The batch scheduling queue to which this task was submitted is full; "
            "currently 2 batches enqueued and max_enqueued_batches is 2"
        )
        model.may_run.set()
        assert answers([first, *later]) == [[200], [2, 2], [4, 4]]

    def test_a_full_queue_that_cuts_says_so_too(self, bench: Any) -> None:
        on = bench(
            "max_batch_size { value: 4 } max_enqueued_batches { value: 1 } enable_large_batch_splitting { value: true }"
        )
        on.hold_up()
        on.gather((1, 1))
        assert (
            "task size is 3 but scheduling capacity is only 2 (num_enqueued_batches=1"
            in refusal(on.ask(1, 2, 3)).message
        )

    def test_time_that_is_over_in_the_queue(self, bench: Any) -> None:
        on = bench()
        on.hold_up()
        error = refusal(on.ask(1, remaining_s=0.01))
        assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.message == "Run() timeout exceeded while waiting in batching queue"

    def test_what_nobody_waits_for_is_not_run(self, bench: Any, model: Doubler) -> None:
        on = bench()
        first = on.hold_up()
        (gone,) = on.gather((1,), wanted=lambda: False)
        model.may_run.set()
        assert refusal(gone).code is grpc.StatusCode.CANCELLED
        assert answers([first, on.ask(2)]) == [[200], [4]]
        assert model.sizes == [1, 1]

    @pytest.mark.parametrize(
        ("feeds", "message"),
        [
            ({}, "must have at least one input tensor"),
            ({"x": np.array(1.0)}, "must have at least one dimension"),
            ({"x": np.zeros(2), "z": np.zeros(3)}, "must have equal 0th-dimension size"),
        ],
    )
    def test_what_cannot_be_joined(self, bench: Any, feeds: Any, message: str) -> None:
        with pytest.raises(ServingError, match=message):
            bench().batches.run(feeds, ("y",), 20, lambda: True)

    def test_an_answer_that_cannot_be_divided(self) -> None:
        tasks = [batching._Task({"x": np.zeros(2)}, 2, lambda: True)]
        for output in (np.array(1.0), np.zeros(3)):
            with pytest.raises(ServingError, match="Batched output tensor"):
                batching.split_outputs([output], tasks, Parameters())

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("max_batch_size { value: 0 }", "max_batch_size must be at least 1; was 0"),
            ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be at least 0; was -1"),
            ("allowed_batch_sizes: [2, 4]", "last entry was 4; expected 1000"),
            ("max_batch_size { value: 4 } allowed_batch_sizes: [2, 2, 4]", "in increasing order"),
            (
                "max_batch_size { value: 4 } max_execution_batch_size { value: 5 } "
                "enable_large_batch_splitting { value: true }",
                "max_execution_batch_size must be at most max_batch_size, 4; was 5",
            ),
        ],
    )
    def test_parameters_that_contradict_each_other(self, text: str, message: str) -> None:
        with pytest.raises(ServingError, match=message):
            Parameters.of(text_format.Parse(text, messages.BatchingParameters()))


def test_a_model_that_goes_leaves_the_threads(bench: Any) -> None:
    on = bench()
    assert answers([on.ask(1)]) == [[2]]
    on.batches.close()
    assert not on.threads._queues


def test_what_is_counted(bench: Any, model: Doubler) -> None:
    on = bench("max_batch_size { value: 4 } allowed_batch_sizes: [4]")
    first = on.hold_up()
    later = on.gather((1,), (2,))
    model.may_run.set()
    answers([first, *later])
    page = on.monitoring.page()
    assert ":tensorflow:serving:batching_session:wrapped_run_count{} 2\n" in page
    assert ":tensorflow:serving:batching_session:processed_batch_size_sum{} 8\n" in page
    assert ':tensorflow:serving:batching_session:queuing_latency_count{thread_pool_name="t"} 3\n' in page
    assert ':tensorflow:serving:batching_session:padding_size_sum{execution_batch_size="4"} 5\n' in page
