"""The consumer: wires the pipeline to Kafka, the models and HTTP."""

from __future__ import annotations

import sys
import threading

from cctv_common.health import Health, HealthServer
from cctv_common.lifecycle import stop_event
from cctv_common.log import Log, configure
from cctv_common.metrics import StageMetrics
from cctv_common.settings import EXIT_CONFIG, load

from cctv_consumer.handlers import HANDLERS
from cctv_consumer.kafka import Sink, Source
from cctv_consumer.labels import LabelsError
from cctv_consumer.models import Model, ModelMetrics
from cctv_consumer.pipeline import Pipeline
from cctv_consumer.replicas import Replicas
from cctv_consumer.serving import Client, GrpcClient, RestClient
from cctv_consumer.settings import Settings


def main() -> None:
    """Run until SIGTERM; exits with 78 when the environment is wrong, with 1 when a thread failed."""
    settings = load(Settings)
    log = configure("consumer", settings.log_level)
    stop = stop_event()
    health = Health()
    metrics = StageMetrics("consumer")
    model_metrics = ModelMetrics()
    client = _client(settings)
    try:
        models = _models(settings, client, model_metrics, health, log)
    except LabelsError as error:
        print(f"IMAGENET_LABELS_FILE: {error}", file=sys.stderr, flush=True)
        raise SystemExit(EXIT_CONFIG) from None
    failed = threading.Event()
    with HealthServer(health, settings.http_host, settings.http_port):
        sink = Sink(settings, metrics, health, log)
        pipeline = Pipeline(models, settings, sink.publish, metrics, health, log)
        model_metrics.work.waiting(pipeline.waiting)
        source = Source(settings, pipeline.feed, pipeline.forget, metrics, health, log)

        def dispatch() -> None:
            try:
                pipeline.run(stop)
            except Exception:
                log.exception("dispatching failed")
                failed.set()
                stop.set()

        dispatcher = threading.Thread(target=dispatch, name="dispatch", daemon=True)
        dispatcher.start()
        log.info("started", models=[m.name for m in settings.models], protocol=settings.predict_protocol)
        try:
            source.run(stop)
        finally:
            stop.set()
            dispatcher.join(timeout=2)
            client.close()
            pipeline.close()
            source.close()
            sink.close()
            log.info("stopped")
    if failed.is_set():
        raise SystemExit(1)


def _client(settings: Settings) -> Client:
    if settings.predict_protocol == "rest":
        return RestClient(Replicas(settings.rest_urls), 4 * settings.calls * len(settings.models))
    return GrpcClient(settings.tf_serving_grpc_target)


def _models(settings: Settings, client: Client, metrics: ModelMetrics, health: Health, log: Log) -> list[Model]:
    def changed(model: str, cause: str) -> None:
        health.set_ready(f"model {model}", cause)
        if cause:
            log.warning("model does not answer", model=model, cause=cause)
        else:
            log.info("model answers", model=model)

    models = []
    for said in settings.models:
        health.set_ready(f"model {said.name}", "has not answered yet")
        models.append(Model(said, HANDLERS[said.handler](settings), client, metrics, changed))
    return models


if __name__ == "__main__":
    main()
