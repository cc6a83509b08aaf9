"""Spark, as it runs in this process: its JVM is a child of the driver's, on one machine and on a cluster."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from pyspark.sql import SparkSession

from cctv_detection.settings import Settings

RETRIES = 4
LABEL = "app.kubernetes.io/name", "spark-executor"
"""What the executors' pod template says of them."""


def configuration(settings: Settings) -> dict[str, str]:
    """Spark's configuration."""
    folder = tempfile.gettempdir()
    jars = f"{settings.detection_jars_dir}/*"
    java = (
        # No perf data: it would be written to the system's temporary folder, which may be read-only.
        "-XX:-UsePerfData -XX:+ExitOnOutOfMemoryError -Djava.net.preferIPv4Stack=true"
        f" -Djava.io.tmpdir={folder} -Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties')}"
    )
    common = {
        "spark.app.name": "detection",
        "spark.log.level": "ERROR",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": folder,
        "spark.sql.warehouse.dir": f"{folder}/warehouse",
        "spark.sql.session.timeZone": "UTC",
        "spark.driver.memory": settings.detection_driver_memory,
        "spark.driver.extraClassPath": jars,
        "spark.driver.extraJavaOptions": java,
        "spark.task.maxFailures": str(RETRIES),
        # Frames go to whichever core is free, and do not wait for the executor that had their partition before.
        "spark.locality.wait": "0s",
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(settings.detection_worker_frames),
        "spark.sql.streaming.noDataMicroBatches.enabled": "false",
        "spark.sql.streaming.stopTimeout": "10s",
        "spark.sql.streaming.numRecentProgressUpdates": "20",
    }
    if settings.local:
        return common | {
            "spark.master": f"local[{settings.cores},{RETRIES}]",
            "spark.driver.host": settings.pod_ip,
            "spark.driver.bindAddress": settings.pod_ip,
        }
    return common | {
        "spark.master": settings.spark_master,
        "spark.driver.host": settings.detection_driver_host,
        "spark.driver.port": str(settings.detection_driver_port),
        "spark.driver.bindAddress": settings.pod_ip,
        "spark.blockManager.port": str(settings.detection_block_manager_port),
        "spark.executor.instances": str(settings.detection_executors),
        "spark.executor.cores": str(settings.detection_executor_cores),
        "spark.executor.memory": settings.detection_executor_memory,
        "spark.executor.memoryOverhead": settings.detection_executor_overhead,
        "spark.executor.extraClassPath": jars,
        "spark.executor.extraJavaOptions": java,
        # Executors come and go with their nodes; only many in a short time say that none can live.
        "spark.executor.maxNumFailures": str(max(10, 4 * settings.detection_executors)),
        "spark.executor.failuresValidityInterval": "10m",
        "spark.kubernetes.namespace": settings.pod_namespace,
        "spark.kubernetes.driver.pod.name": settings.pod_name,
        "spark.kubernetes.container.image": settings.detection_executor_image,
        "spark.kubernetes.executor.request.cores": settings.detection_executor_cpu,
        "spark.kubernetes.executor.podTemplateFile": settings.detection_executor_template,
        "spark.kubernetes.executor.podTemplateContainerName": "executor",
        # A driver's container that starts again in the same pod may find pods of the one before.
        "spark.kubernetes.executor.podNamePrefix": f"spark-executor-{int(time.time()):x}",
        # So that the driver needs no right to anything but pods.
        "spark.kubernetes.executor.disableConfigMap": "true",
        "spark.kubernetes.driver.service.deleteOnTermination": "false",
        "spark.kubernetes.driver.ownPersistentVolumeClaim": "false",
        "spark.kubernetes.driver.reusePersistentVolumeClaim": "false",
    }


def open_session(settings: Settings) -> SparkSession:
    """Start the JVM and, on a cluster, ask for executors."""
    # Or Spark looks the machine's name up, which may be none that is known.
    os.environ["SPARK_LOCAL_IP"] = settings.pod_ip
    os.environ["PYSPARK_PYTHON"] = sys.executable
    # Spark writes some things to where it is.
    os.chdir(tempfile.gettempdir())
    builder = SparkSession.builder
    for key, value in configuration(settings).items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    if not settings.local:
        _remove_leftovers(session, settings)
    return session


def _remove_leftovers(session: SparkSession, settings: Settings) -> None:
    """Delete the executors of drivers before this one in the same pod: they have ended, but nobody else would."""
    context = session.sparkContext
    client = context._jvm.io.fabric8.kubernetes.client.KubernetesClientBuilder().build()
    try:
        pods = client.pods().inNamespace(settings.pod_namespace).withLabel(*LABEL)
        pods.withoutLabel("spark-app-selector", context.applicationId).delete()
    finally:
        client.close()
