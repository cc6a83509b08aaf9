"""Runs one of Spark's executors in a pod, as Spark's own image would: PySpark alone has no such program."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping

BACKEND = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"
OPTION = re.compile(r"SPARK_JAVA_OPT_(\d+)")


def command(environment: Mapping[str, str]) -> list[str]:
    """Return what to run, of the environment that Spark gives to an executor's pod; raises KeyError without it."""
    numbered = {int(found[1]): value for name, value in environment.items() if (found := OPTION.fullmatch(name))}
    jars = [environment.get("SPARK_CLASSPATH", ""), f"{environment['SPARK_HOME']}/jars/*"]
    memory = environment["SPARK_EXECUTOR_MEMORY"]
    return [
        f"{environment['JAVA_HOME']}/bin/java",
        *(value for __, value in sorted(numbered.items())),
        *(f"-Xms{memory}", f"-Xmx{memory}", "-cp", ":".join(filter(None, jars)), BACKEND),
        *("--driver-url", environment["SPARK_DRIVER_URL"]),
        *("--executor-id", environment["SPARK_EXECUTOR_ID"]),
        *("--cores", environment["SPARK_EXECUTOR_CORES"]),
        *("--app-id", environment["SPARK_APPLICATION_ID"]),
        *("--hostname", environment["SPARK_EXECUTOR_POD_IP"]),
        *("--resourceProfileId", environment["SPARK_RESOURCE_PROFILE_ID"]),
        *("--podName", environment["SPARK_EXECUTOR_POD_NAME"]),
    ]


def main() -> None:
    """Become the executor; exits with 78 when this is no pod that Spark has made."""
    try:
        run = command(os.environ)
    except KeyError as missing:
        print(f"{missing.args[0]} is not set; expected to be started by Spark, in a pod of its own", file=sys.stderr)
        sys.exit(78)
    os.execv(run[0], run)


if __name__ == "__main__":
    main()
