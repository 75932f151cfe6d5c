"""The client without `await`: seer.aio.Client on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from . import aio
from .aio import PATIENCE
from .config import Tls
from .specs import Sets, Spec
from .v1 import checkpoints_pb2, events_pb2, job_spec_pb2, jobs_pb2, pools_pb2, workers_pb2

T = TypeVar("T")


class _Loop:
    """An event loop that runs in a thread until it is stopped."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="seer-client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Its result. A Ctrl-C here ends it there."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def runs(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        if self.runs():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


class Client:
    """Talks to a coordinator and, about pools, to a data service; see seer.aio.Client. For any thread.

    Iterators that are left before their end are closed with them, or by `close()`.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        dataservice: str | Sequence[str] | None = None,
        token: str | None = None,
        tls: Tls | None = None,
        context: str | None = None,
        timeout: float = 30.0,
    ) -> None:
        async def make() -> aio.Client:  # gRPC's channels belong to the loop that they are made on
            return aio.Client(
                address, dataservice=dataservice, token=token, tls=tls, context=context, timeout=timeout
            )

        self._loop = _Loop()
        try:
            self._client = self._loop.run(make())
        except BaseException:
            self._loop.stop()
            raise

    def close(self) -> None:
        """Ends its calls, once and for all. Jobs go on."""
        if self._loop.runs():
            self._loop.run(self._client.close())
            self._loop.stop()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _iterate(self, make: Callable[[], AsyncIterator[T]]) -> Iterator[T]:
        stream = make()

        async def leave() -> None:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()

        try:
            while items := self._loop.run(_next(stream)):
                yield items[0]
        finally:
            if self._loop.runs():  # else the client was closed before
                self._loop.run(leave())

    def parse(self, spec: Spec, *, sets: Sets = (), name: str = "") -> list[job_spec_pb2.JobSpec]:
        return self._loop.run(self._client.parse(spec, sets=sets, name=name))

    def submit(self, spec: Spec, *, sets: Sets = (), name: str = "", request_id: str | None = None) -> jobs_pb2.Job:
        return self._loop.run(self._client.submit(spec, sets=sets, name=name, request_id=request_id))

    def submit_all(self, spec: Spec, *, sets: Sets = ()) -> list[jobs_pb2.Job]:
        return self._loop.run(self._client.submit_all(spec, sets=sets))

    def plan(self, spec: Spec, *, sets: Sets = ()) -> jobs_pb2.PlanJobResponse:
        return self._loop.run(self._client.plan(spec, sets=sets))

    def job(self, job: str) -> jobs_pb2.Job:
        return self._loop.run(self._client.job(job))

    def jobs(
        self, states: Sequence[jobs_pb2.JobState.ValueType] = (), *, page_size: int = 0
    ) -> Iterator[jobs_pb2.Job]:
        return self._iterate(lambda: self._client.jobs(states, page_size=page_size))

    def pause(self, job: str) -> jobs_pb2.Job:
        return self._loop.run(self._client.pause(job))

    def resume(self, job: str, *, step: int = 0) -> jobs_pb2.Job:
        return self._loop.run(self._client.resume(job, step=step))

    def cancel(self, job: str) -> jobs_pb2.Job:
        return self._loop.run(self._client.cancel(job))

    def events(self, job: str, *, after: int = 0) -> Iterator[events_pb2.Event]:
        return self._iterate(lambda: self._client.events(job, after=after))

    def watch(self, job: str, *, patience: float = PATIENCE) -> Iterator[jobs_pb2.Job]:
        return self._iterate(lambda: self._client.watch(job, patience=patience))

    def follow(self, job: str, *, after: int = 0, patience: float = PATIENCE) -> Iterator[events_pb2.Event]:
        return self._iterate(lambda: self._client.follow(job, after=after, patience=patience))

    def wait(self, job: str, *, timeout: float | None = None, patience: float = PATIENCE) -> jobs_pb2.Job:
        return self._loop.run(self._client.wait(job, timeout=timeout, patience=patience))

    def logs(
        self, job: str, *, follow: bool = False, tail: int = 0, after: str = "", patience: float = PATIENCE
    ) -> Iterator[jobs_pb2.LogLine]:
        return self._iterate(
            lambda: self._client.logs(job, follow=follow, tail=tail, after=after, patience=patience)
        )

    def checkpoints(self, job: str = "", *, page_size: int = 0) -> Iterator[checkpoints_pb2.Checkpoint]:
        return self._iterate(lambda: self._client.checkpoints(job, page_size=page_size))

    def checkpoint(self, name: str) -> checkpoints_pb2.Checkpoint:
        return self._loop.run(self._client.checkpoint(name))

    def verify_checkpoint(self, name: str) -> checkpoints_pb2.Checkpoint:
        return self._loop.run(self._client.verify_checkpoint(name))

    def pin_checkpoint(self, name: str, *, user: str, reason: str = "") -> checkpoints_pb2.Checkpoint:
        return self._loop.run(self._client.pin_checkpoint(name, user=user, reason=reason))

    def unpin_checkpoint(self, name: str) -> checkpoints_pb2.Checkpoint:
        return self._loop.run(self._client.unpin_checkpoint(name))

    def workers(self) -> Iterator[workers_pb2.Worker]:
        return self._iterate(self._client.workers)

    def pools(self) -> Iterator[pools_pb2.Pool]:
        return self._iterate(self._client.pools)

    def pool(self, pool: str, *, generation: int | None = None) -> pools_pb2.Pool:
        return self._loop.run(self._client.pool(pool, generation=generation))

    def create_pool(
        self, pool: str, policy: pools_pb2.PoolPolicy | Mapping[str, Any] | None = None
    ) -> pools_pb2.Pool:
        return self._loop.run(self._client.create_pool(pool, policy))

    def ingest(
        self,
        pool: str,
        sources: Sequence[str | os.PathLike[str]],
        *,
        labels_from_folders: bool = False,
        request_id: str | None = None,
    ) -> Iterator[pools_pb2.IngestProgress]:
        return self._iterate(
            lambda: self._client.ingest(
                pool, sources, labels_from_folders=labels_from_folders, request_id=request_id
            )
        )


for _name, _method in list(vars(Client).items()):
    if not _name.startswith("_") and _method.__doc__ is None:
        _method.__doc__ = getattr(aio.Client, _name).__doc__


async def _next(stream: AsyncIterator[T]) -> list[T]:
    """The next item, if there is one: StopAsyncIteration does not travel through a future."""
    try:
        return [await stream.__anext__()]
    except StopAsyncIteration:
        return []
