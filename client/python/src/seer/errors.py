"""What calls raise: the server's word on what was wrong, where, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]


class SeerError(Exception):
    """A call failed.

    `code`: of gRPC. `reason`: UPPER_SNAKE, listed in docs/errors.md; empty: none. `field`: of the request or spec
    that is wrong, empty: none. `hint`: what to do about it, empty: none. `values`: the variables of the message.
    """

    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str = "",
        field: str = "",
        hint: str = "",
        values: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.reason = reason
        self.field = field
        self.hint = hint
        self.values = dict(values or {})

    def __str__(self) -> str:
        text = f"{self.message} [{self.reason}]" if self.reason else self.message
        return f"{text}; {self.hint}" if self.hint else text


class InvalidArgument(SeerError):
    code = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(SeerError):
    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(SeerError):
    code = grpc.StatusCode.ALREADY_EXISTS


class FailedPrecondition(SeerError):
    code = grpc.StatusCode.FAILED_PRECONDITION


class Aborted(SeerError):
    code = grpc.StatusCode.ABORTED


class ResourceExhausted(SeerError):
    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unauthenticated(SeerError):
    code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(SeerError):
    code = grpc.StatusCode.PERMISSION_DENIED


class Unavailable(SeerError):
    code = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(SeerError, TimeoutError):
    code = grpc.StatusCode.DEADLINE_EXCEEDED


class DataLoss(SeerError):
    code = grpc.StatusCode.DATA_LOSS


_CLASSES = {
    kind.code: kind
    for kind in (
        InvalidArgument,
        NotFound,
        AlreadyExists,
        FailedPrecondition,
        Aborted,
        ResourceExhausted,
        Unauthenticated,
        PermissionDenied,
        Unavailable,
        DeadlineExceeded,
        DataLoss,
    )
}


class _Failed(Protocol):
    """What gRPC raises, of both its APIs."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> object: ...


def from_rpc(error: grpc.RpcError) -> SeerError:
    """The error that a call ended with, with its details."""
    failed = cast(_Failed, error)
    status = status_pb2.Status()
    for key, value in cast("list[tuple[str, bytes]]", failed.trailing_metadata() or []):
        if key == "grpc-status-details-bin":
            status.ParseFromString(value)
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    values = dict(info.metadata)
    return _CLASSES.get(failed.code(), SeerError)(
        failed.details() or failed.code().name,
        code=failed.code(),
        reason=info.reason,
        field=bad.field_violations[0].field if bad.field_violations else "",
        hint=values.pop("hint", ""),
        values=values,
    )
