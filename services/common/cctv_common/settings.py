"""Settings are environment variables; a wrong one ends the service with one line that says what was expected."""

from __future__ import annotations

import sys
from typing import Literal, NoReturn, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h


class ServiceSettings(BaseSettings):
    """What every service reads; field ``http_port`` is the variable ``HTTP_PORT``."""

    model_config = SettingsConfigDict(extra="ignore", hide_input_in_errors=False)

    http_host: str = Field("127.0.0.1", description="address that health, metrics and pages listen on")
    http_port: int = Field(8080, ge=1, le=65535, description="its port")
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class KafkaSettings(BaseSettings):
    """How to reach Kafka: the keys of the ConfigMap and the Secret ``kafka-client``."""

    model_config = SettingsConfigDict(extra="ignore")

    kafka_bootstrap_servers: str = Field(min_length=3, description="host:port[,host:port...]")
    kafka_max_frame_bytes: int = Field(
        4 * 1024 * 1024, ge=1024, description="largest frame that broker, topics and clients take"
    )
    kafka_videocam_topic: str = "videocam"
    kafka_videodisplay_topic: str = "videodisplay"
    kafka_security_protocol: Literal["PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_username: str = Field("", description="for SASL_SSL")
    kafka_sasl_password: SecretStr = Field(SecretStr(""), description="for SASL_SSL")
    kafka_ssl_ca: str = Field("", description="PEM of the authorities that are trusted; the system's by default")

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        if self.kafka_security_protocol == "SASL_SSL":
            said = {
                "KAFKA_SASL_USERNAME": self.kafka_sasl_username,
                "KAFKA_SASL_PASSWORD": self.kafka_sasl_password.get_secret_value(),
            }
            for name in (name for name, value in said.items() if not value):
                raise ValueError(f"{name} is not set; expected a value, as KAFKA_SECURITY_PROTOCOL=SASL_SSL")
        return self


S = TypeVar("S", bound=BaseSettings)


def load(settings: type[S]) -> S:
    """Read ``settings`` from the environment, or exit with 78 and a line for each wrong variable."""
    try:
        return settings()
    except ValidationError as error:
        for line in explain(settings, error):
            print(line, file=sys.stderr, flush=True)
        _exit()


def explain(settings: type[BaseSettings], error: ValidationError) -> list[str]:
    """One line per wrong variable: its name, its value (never a secret's) and what was expected."""
    lines = []
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else ""
        field = settings.model_fields.get(name)
        secret = field is not None and SecretStr in (field.annotation, *getattr(field.annotation, "__args__", ()))
        meaning = f" ({field.description})" if field is not None and field.description else ""
        if problem["type"] == "missing" and len(problem["loc"]) == 1:
            lines.append(f"{name.upper()} is not set; expected{meaning or ' a value'}")
        elif not name:
            lines.append(str(problem["msg"]).removeprefix("Value error, "))
        else:
            value = "(secret)" if secret else repr(problem["input"])
            expected = str(problem["msg"]).removeprefix("Value error, ")
            inside = "".join(f"[{step!r}]" for step in problem["loc"][1:])
            lines.append(f"{name.upper()}{inside}={value}: {expected[:1].lower()}{expected[1:]}{meaning}")
    return lines


def _exit() -> NoReturn:
    raise SystemExit(EXIT_CONFIG)
