"""How calls are made: deadlines, repeats, pages."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc

from .errors import SeerError, Unavailable, from_rpc

T = TypeVar("T")
Response = TypeVar("Response")

FIRST_PAUSE = 0.1  # seconds before a call is made again; doubles
LONGEST_PAUSE = 5.0


def pauses() -> Callable[[], float]:
    """Seconds before the next attempt, from call to call: doubling, of which a random half is taken off."""
    longest = FIRST_PAUSE

    def next_pause() -> float:
        nonlocal longest
        pause = longest * (0.5 + random.random() / 2)
        longest = min(2 * longest, LONGEST_PAUSE)
        return pause

    return next_pause


class Caller:
    """Makes calls that may be repeated: those that change nothing, or carry a request id."""

    def __init__(self, timeout: float, metadata: tuple[tuple[str, str], ...]) -> None:
        self.timeout = timeout
        self.metadata = metadata

    async def __call__(self, method: Callable[..., Any], request: object) -> Any:
        """The answer. While the server cannot be reached it is asked again, until `timeout` seconds are over."""
        end = time.monotonic() + self.timeout
        pause = pauses()
        while True:
            left = end - time.monotonic()
            try:
                return await method(request, timeout=max(left, 0.001), metadata=self.metadata)
            except grpc.RpcError as error:
                failure = from_rpc(error)
            wait = pause()
            if not isinstance(failure, Unavailable) or wait >= end - time.monotonic():
                raise failure
            await asyncio.sleep(wait)

    async def stream(self, method: Callable[..., Any], request: object) -> AsyncIterator[Any]:
        """The messages of one stream, as long as it lasts."""
        call = method(request, metadata=self.metadata)
        try:
            async for message in call:
                yield message
        except grpc.RpcError as error:
            raise from_rpc(error) from None
        finally:
            call.cancel()


def may_come_back(error: SeerError) -> bool:
    """A broken stream that is worth opening again."""
    return error.code in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,  # by the server, as it goes
        grpc.StatusCode.INTERNAL,  # a connection that was reset in the middle of a message
    )


async def pages(ask: Callable[[str], Awaitable[tuple[list[T], str]]]) -> AsyncIterator[T]:
    """All items of a list that comes in pages: `ask` gives those of a page token, and the next token."""
    token = ""
    while True:
        items, token = await ask(token)
        for item in items:
            yield item
        if not token:
            return
