"""Errors as TensorFlow Serving reports them: a canonical status code and a message, on both protocols."""

from __future__ import annotations

import grpc

_HTTP = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


class ServingError(Exception):
    """A request that fails with ``code`` and ``message``."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        """The HTTP status with which TensorFlow Serving answers this code."""
        return _HTTP.get(self.code, 500)

    def __str__(self) -> str:
        # As absl::Status prints itself inside another status' message.
        return f"{self.code.name}: {self.message}"


def invalid(*parts: object) -> ServingError:
    """INVALID_ARGUMENT, with the parts joined as the message."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, "".join(map(str, parts)))


def unimplemented(*parts: object) -> ServingError:
    """UNIMPLEMENTED, with the parts joined as the message."""
    return ServingError(grpc.StatusCode.UNIMPLEMENTED, "".join(map(str, parts)))


def code_of(number: int) -> grpc.StatusCode:
    """The status code that TensorFlow's error number stands for."""
    return _BY_NUMBER.get(number, grpc.StatusCode.UNKNOWN)
