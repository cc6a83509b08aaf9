from __future__ import annotations

from pathlib import Path

import pytest
from cctv_serving import flags
from cctv_serving.flags import Threads

PATH = "--model_base_path=/models/x"


def test_the_real_servers_defaults() -> None:
    given = flags.parse([PATH])
    assert (given.port, given.rest_api_port, given.model_name) == (8500, 0, "default")
    assert given.threads == Threads(0, 0)
    assert given.rest_api_timeout_in_ms == 30000
    assert (given.file_system_poll_wait_seconds, given.max_num_load_retries) == (1, 5)
    assert given.load_retry_interval_micros == 60_000_000
    assert not given.enable_batching
    assert not given.enable_grpc_healthcheck_service
    assert not given.enable_signature_method_name_check


def test_spellings() -> None:
    given = flags.parse(
        [
            "--model_base_path",
            "/models/x",
            "--rest_api_port=8501",
            "--tensorflow_intra_op_parallelism=2",
            "--rest_api_enable_cors_support",
            "--enable_model_warmup=false",
            "--grpc_channel_arguments=grpc.max_connection_age_ms=2000,grpc.primary_user_agent=me",
        ]
    )
    assert given.threads == Threads(2, 0)
    assert given.rest_api_enable_cors_support
    assert not given.enable_model_warmup
    assert given.grpc_channel_arguments == (("grpc.max_connection_age_ms", 2000), ("grpc.primary_user_agent", "me"))


def test_both_kinds_of_threads_by_one_flag() -> None:
    assert flags.parse([PATH, "--tensorflow_session_parallelism=3"]).threads == Threads(3, 3)


def test_tuning_of_what_is_not_there_is_taken_and_told() -> None:
    given = flags.parse([PATH, "--num_load_threads=4", "--flush_filesystem_caches=false"])
    assert given.no_effect == ("flush_filesystem_caches", "num_load_threads")


def test_what_is_switched_off_is_not_refused() -> None:
    assert flags.parse([PATH, "--prefer_tflite_model=false"]).port == 8500


def test_models_of_a_file_need_no_path() -> None:
    given = flags.parse(["--model_config_file=/etc/models.config", "--model_config_file_poll_wait_seconds=60"])
    assert (given.model_config_file, given.model_config_file_poll_wait_seconds) == (Path("/etc/models.config"), 60)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--port=70000"], "--port: '70000': expected a number from 0 to 65535"),
        (["--port=x"], "--port: 'x': expected a number"),
        (["--rest_api_port=8500"], "--rest_api_port=8500: expected another port than --port"),
        (["--port=0"], "expected at least one of them"),
        (["--enable_model_warmup=maybe"], "expected true or false"),
        (["--prefer_tflite_model"], "--prefer_tflite_model=true: this server does not do that"),
        (["--platform_config_file=/x"], "--platform_config_file=/x: this server does not do that"),
        (["--batching_parameters_file=/x"], "--batching_parameters_file=/x without --enable_batching; expected both"),
        (["--file_system_poll_wait_seconds=-1"], "'-1': expected a number from 0"),
        (["--no_such_flag=1"], "unrecognized arguments: --no_such_flag=1"),
        (["--model_nam=x"], "unrecognized arguments: --model_nam=x"),
        (["--model_base_path="], "--model_base_path is not set"),
        (["--grpc_channel_arguments=x"], "expected name=value"),
        (
            [f"--tensorflow_{kind}_parallelism=1" for kind in ("session", "intra_op", "inter_op")],
            "expected either the first or the other two",
        ),
    ],
)
def test_wrong_flags_are_named(wrong: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        flags.parse([PATH, *wrong])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
