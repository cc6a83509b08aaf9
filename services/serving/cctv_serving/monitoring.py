"""TensorFlow Serving's own metrics, by the names and in the form in which its server shows them to Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram
from tensorflow_serving.apis import input_pb2

PATH = "/monitoring/prometheus/metrics"
"""Where the page is unless --monitoring_config_file says otherwise."""


def _exponential(scale: float, growth: float, count: int) -> list[float]:
    # The limits as the page writes them, so that dashboards find the very same labels.
    return [float(f"{scale * growth**power:.6g}") for power in range(count)]


_MICROSECONDS = _exponential(10, 1.8, 33)
_SIZES = _exponential(1, 2, 14)


class Monitoring:
    """What is counted."""

    def __init__(self) -> None:
        self._metrics: dict[str, Counter | Histogram] = {}
        self.requests = self._counter("request_count", "The total number of requests.", "model_name", "status")
        self.request_latency = self._histogram("request_latency", _MICROSECONDS, "model_name", "API", "entrypoint")
        self.runtime_latency = self._histogram("runtime_latency", _MICROSECONDS, "model_name", "API", "runtime")
        self.example_counts = self._histogram("request_example_counts", _exponential(1, 2, 15), "model")
        self.examples = self._counter("request_example_count_total", "The total number of Examples.", "model")
        self.warm_up_latency = self._histogram("model_warmup_latency", _MICROSECONDS, "model_path", "status")
        self.warm_up_records = self._counter("model_warmup_records_read", "Warm-up records.", "model_path", "status")
        self.queuing_latency = self._histogram(
            "batching_session/queuing_latency", _exponential(100, 1.2, 52), "thread_pool_name"
        )
        self.batch_runs = self._counter("batching_session/wrapped_run_count", "Batches that were run.")
        self.input_batch_size = self._histogram("batching_session/input_batch_size", _SIZES)
        self.batch_size = self._histogram("batching_session/processed_batch_size", _SIZES)
        self.padding = self._histogram("batching_session/padding_size", _SIZES, "execution_batch_size")

    @contextmanager
    def running(self, model: str, method: str) -> Iterator[None]:
        """Time a run of the model that succeeds."""
        began = time.perf_counter()
        yield
        self.runtime_latency.labels(model, method, "TF1").observe((time.perf_counter() - began) * 1e6)

    def count_examples(self, model: str, said: input_pb2.Input) -> None:
        """Count the tf.Examples of a request."""
        count = len(said.example_list.examples) + len(said.example_list_with_context.examples)
        self.example_counts.labels(model).observe(count)
        self.examples.labels(model).inc(count)

    def value(self, name: str) -> int:
        """The first value of the counter with TensorFlow's ``name``, 0 when there is none."""
        metric = self._metrics.get(_exposed(name))
        if not isinstance(metric, Counter):
            return 0
        samples = [sample.value for family in metric.collect() for sample in family.samples if _counts(sample.name)]
        return int(samples[0]) if samples else 0

    def page(self) -> str:
        """What Prometheus reads."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        for name, metric in sorted(self._metrics.items()):
            (family,) = metric.collect()
            yield f"# TYPE {name} {family.type}"
            for sample in family.samples:
                if not _counts(sample.name):
                    continue
                suffix = sample.name.removeprefix(family.name)
                labels = ",".join(f'{label}="{_label(label, value)}"' for label, value in sample.labels.items())
                yield f"{name}{'' if suffix == '_total' else suffix}{{{labels}}} {sample.value:.17g}"

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        exposed = _exposed(f"/tensorflow/serving/{name}")
        self._metrics[exposed] = counter = Counter(exposed, help, labels, registry=CollectorRegistry())
        return counter

    def _histogram(self, name: str, buckets: list[float], *labels: str) -> Histogram:
        exposed = _exposed(f"/tensorflow/serving/{name}")
        histogram = Histogram(exposed, name, labels, buckets=buckets, registry=CollectorRegistry())
        self._metrics[exposed] = histogram
        return histogram


def _exposed(name: str) -> str:
    return name.replace("/", ":")


def _counts(sample: str) -> bool:
    return not sample.endswith("_created")


def _label(name: str, value: str) -> str:
    if name == "le":
        return value if value == "+Inf" else f"{float(value):.6g}"
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
