from __future__ import annotations

import pytest
from cctv_serving.monitoring import Monitoring
from prometheus_client.parser import text_string_to_metric_families
from tensorflow_serving.apis import input_pb2


@pytest.fixture
def monitoring() -> Monitoring:
    return Monitoring()


def test_the_real_servers_lines(monitoring: Monitoring) -> None:
    monitoring.requests.labels("imagenet", "OK").inc(3)
    monitoring.requests.labels('a"\\', "NOT_FOUND").inc()
    monitoring.request_latency.labels("imagenet", "Predict", "GRPC").observe(50)
    lines = monitoring.page().splitlines()
    assert "# TYPE :tensorflow:serving:request_count counter" in lines
    assert ':tensorflow:serving:request_count{model_name="imagenet",status="OK"} 3' in lines
    assert ':tensorflow:serving:request_count{model_name="a\\"\\\\",status="NOT_FOUND"} 1' in lines
    prefix = ':tensorflow:serving:request_latency_bucket{model_name="imagenet",API="Predict",entrypoint="GRPC",le='
    assert f'{prefix}"32.4"}} 0' in lines
    assert f'{prefix}"58.32"}} 1' in lines
    assert f'{prefix}"+Inf"}} 1' in lines
    # 33 limits, as the real server has, and the one without.
    assert sum(line.startswith(prefix) for line in lines) == 34


def test_prometheus_reads_it(monitoring: Monitoring) -> None:
    monitoring.requests.labels("m", "OK").inc()
    monitoring.batch_runs.inc(2)
    families = {family.name: family for family in text_string_to_metric_families(monitoring.page())}
    assert ":tensorflow:serving:runtime_latency" in families
    assert families[":tensorflow:serving:batching_session:wrapped_run_count"].samples[0].value == 2


def test_the_increase_that_a_reload_is_asked_for(monitoring: Monitoring) -> None:
    assert monitoring.value("/tensorflow/serving/request_count") == 0
    monitoring.requests.labels("m", "OK").inc(5)
    assert monitoring.value("/tensorflow/serving/request_count") == 5
    assert monitoring.value("/no/such/metric") == 0


def test_examples_are_counted(monitoring: Monitoring) -> None:
    said = input_pb2.Input()
    for __ in range(3):
        said.example_list.examples.add()
    monitoring.count_examples("m", said)
    assert ':tensorflow:serving:request_example_count_total{model="m"} 3\n' in monitoring.page()
