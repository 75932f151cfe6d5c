"""The asynchronous client. `seer.Client` is the same without `await`."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import grpc

from ._calls import Caller, may_come_back, pages, pauses
from .config import Context, Tls, load_context, split_addresses, target
from .errors import DeadlineExceeded, InvalidArgument, SeerError
from .specs import Sets, Spec, parse_request
from .v1 import (
    checkpoints_pb2,
    checkpoints_pb2_grpc,
    events_pb2,
    job_spec_pb2,
    jobs_pb2,
    jobs_pb2_grpc,
    pools_pb2,
    pools_pb2_grpc,
    specs_pb2_grpc,
    workers_pb2,
    workers_pb2_grpc,
)

PATIENCE = 300.0  # seconds that a stream waits for a coordinator that is away
MESSAGE_BYTES = 64 << 20


def ended(job: jobs_pb2.Job) -> bool:
    """It has succeeded, failed or been cancelled, for good."""
    return job.state in (jobs_pb2.JOB_STATE_SUCCEEDED, jobs_pb2.JOB_STATE_FAILED, jobs_pb2.JOB_STATE_CANCELLED)


class Client:
    """Talks to a coordinator and, about pools, to a data service. Of one event loop.

    `address`: HOST:PORT of the coordinator; of several, all with commas: the one that leads is found. None: what the
    command line's context file says (`context`: another one than its current). `dataservice`: likewise, of replicas.
    `token`: that calls carry. `tls`: None: without, unless the context has it. `timeout`: seconds that a call may
    take, repeats included.

    All methods raise SeerError. A job is named by its id, "jobs/{id}", or metadata.name: the newest of that name.
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
        known = load_context(context) if address is None or context is not None else Context()
        self._coordinators = split_addresses(address) if address is not None else known.coordinator
        self._dataservices = split_addresses(dataservice) if dataservice is not None else known.dataservice
        if not self._coordinators:
            raise InvalidArgument(
                "no coordinator is known", hint="give an address, set SEER_COORDINATOR, or run `seer cluster up`"
            )
        self._tls = tls or known.tls
        token = token or known.token
        self._call = Caller(timeout, (("authorization", f"Bearer {token}"),) if token else ())
        self._channels: list[grpc.aio.Channel] = []
        channel = self._channel(self._coordinators)
        self._jobs: jobs_pb2_grpc.JobsAsyncStub = jobs_pb2_grpc.JobsStub(channel)
        self._specs: specs_pb2_grpc.SpecsAsyncStub = specs_pb2_grpc.SpecsStub(channel)
        self._checkpoints: checkpoints_pb2_grpc.CheckpointsAsyncStub = checkpoints_pb2_grpc.CheckpointsStub(channel)
        self._workers: workers_pb2_grpc.WorkersAsyncStub = workers_pb2_grpc.WorkersStub(channel)
        self._pools: pools_pb2_grpc.PoolsAsyncStub | None = None
        if self._dataservices:
            self._pools = pools_pb2_grpc.PoolsStub(self._channel(self._dataservices))

    def _channel(self, addresses: Sequence[str]) -> grpc.aio.Channel:
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", MESSAGE_BYTES),
            ("grpc.max_send_message_length", MESSAGE_BYTES),
            ("grpc.max_reconnect_backoff_ms", 2000),
        ]
        if len(addresses) > 1:  # of several, those alone that say they serve: the coordinator that leads
            options += [
                ("grpc.lb_policy_name", "round_robin"),
                ("grpc.service_config", '{"healthCheckConfig": {"serviceName": ""}, "loadBalancingConfig": [{"round_robin": {}}]}'),
            ]
            if self._tls is not None:
                options.append(("grpc.ssl_target_name_override", addresses[0].rpartition(":")[0]))
        where = target(addresses)
        if self._tls is None:
            channel = grpc.aio.insecure_channel(where, options=options)
        else:
            channel = grpc.aio.secure_channel(where, self._tls.credentials(), options=options)
        self._channels.append(channel)
        return channel

    async def close(self) -> None:
        """Ends its calls. Jobs go on."""
        for channel in self._channels:
            await channel.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Jobs.

    async def parse(self, spec: Spec, *, sets: Sets = (), name: str = "") -> list[job_spec_pb2.JobSpec]:
        """What a spec says, checked; makes no job. Of several jobs, each comes after those that it waits for."""
        if isinstance(spec, job_spec_pb2.JobSpec):
            if sets or name:
                raise InvalidArgument("sets and name are for texts", hint="change the message")
            return [spec]
        response = await self._call(self._specs.ParseSpecs, parse_request(spec, sets, name))
        return list(response.specs)

    async def submit(
        self, spec: Spec, *, sets: Sets = (), name: str = "", request_id: str | None = None
    ) -> jobs_pb2.Job:
        """Makes the job of a YAML or JSON file, a text, a dictionary or a message.

        `request_id`: the same one again gives the same job; default: one that is new, so that a call which is
        repeated makes one job.
        """
        specs = await self.parse(spec, sets=sets, name=name)
        if len(specs) != 1:
            raise InvalidArgument(f"there are {len(specs)} jobs", hint="submit_all makes them all")
        return await self._create(specs[0], request_id)

    async def submit_all(self, spec: Spec, *, sets: Sets = ()) -> list[jobs_pb2.Job]:
        """Makes all jobs of a file or text, in the order in which they wait for each other."""
        return [await self._create(one, None) for one in await self.parse(spec, sets=sets)]

    async def _create(self, spec: job_spec_pb2.JobSpec, request_id: str | None) -> jobs_pb2.Job:
        request = jobs_pb2.CreateJobRequest(spec=spec, request_id=request_id or str(uuid.uuid4()))
        job: jobs_pb2.Job = await self._call(self._jobs.CreateJob, request)
        return job

    async def plan(self, spec: Spec, *, sets: Sets = ()) -> jobs_pb2.PlanJobResponse:
        """When a job of this spec would start, and why not now; makes none."""
        (one,) = await self.parse(spec, sets=sets)
        response: jobs_pb2.PlanJobResponse = await self._call(self._jobs.PlanJob, jobs_pb2.PlanJobRequest(spec=one))
        return response

    async def job(self, job: str) -> jobs_pb2.Job:
        """The job as it is now."""
        found: jobs_pb2.Job = await self._call(self._jobs.GetJob, jobs_pb2.GetJobRequest(name=job))
        return found

    async def jobs(
        self, states: Sequence[jobs_pb2.JobState.ValueType] = (), *, page_size: int = 0
    ) -> AsyncIterator[jobs_pb2.Job]:
        """All jobs, newest first; `states`: those in one of these. `page_size`: of one call; 0: the server's default."""

        async def ask(token: str) -> tuple[list[jobs_pb2.Job], str]:
            request = jobs_pb2.ListJobsRequest(page_token=token, page_size=page_size, states=states)
            page = await self._call(self._jobs.ListJobs, request)
            return list(page.jobs), page.next_page_token

        async for job in pages(ask):
            yield job

    async def pause(self, job: str) -> jobs_pb2.Job:
        """Asks it to write a checkpoint and give its devices back."""
        request = jobs_pb2.PauseJobRequest(name=job, request_id=str(uuid.uuid4()))
        paused: jobs_pb2.Job = await self._call(self._jobs.PauseJob, request)
        return paused

    async def resume(self, job: str, *, step: int = 0) -> jobs_pb2.Job:
        """Puts a paused job into the queue. `step`: of the checkpoint to go on from; 0: the newest."""
        request = jobs_pb2.ResumeJobRequest(name=job, request_id=str(uuid.uuid4()), step=step)
        resumed: jobs_pb2.Job = await self._call(self._jobs.ResumeJob, request)
        return resumed

    async def cancel(self, job: str) -> jobs_pb2.Job:
        """Ends it at once. Committed checkpoints stay."""
        request = jobs_pb2.CancelJobRequest(name=job, request_id=str(uuid.uuid4()))
        cancelled: jobs_pb2.Job = await self._call(self._jobs.CancelJob, request)
        return cancelled

    async def events(self, job: str, *, after: int = 0) -> AsyncIterator[events_pb2.Event]:
        """What has happened to it so far, oldest first; `after`: events with a larger number."""
        name = (await self.job(job)).name
        while True:
            request = jobs_pb2.ListEventsRequest(name=name, after_number=after)
            page = await self._call(self._jobs.ListEvents, request)
            for event in page.events:
                after = event.number
                yield event
            if not page.events:
                return

    async def watch(self, job: str, *, patience: float = PATIENCE) -> AsyncIterator[jobs_pb2.Job]:
        """The job now, then each change of its state or progress, until it has ended.

        A connection that breaks is made again; after `patience` seconds without one, its error is raised.
        """
        name = (await self.job(job)).name
        pause, since = pauses(), time.monotonic()
        while True:
            failure: SeerError | None = None
            try:
                async for snapshot in self._call.stream(self._jobs.WatchJob, jobs_pb2.WatchJobRequest(name=name)):
                    pause, since = pauses(), time.monotonic()
                    yield snapshot
                    if ended(snapshot):
                        return
            except SeerError as error:
                if not may_come_back(error):
                    raise
                failure = error
            if failure is not None and time.monotonic() - since > patience:
                raise failure
            await asyncio.sleep(pause())

    async def follow(
        self, job: str, *, after: int = 0, patience: float = PATIENCE
    ) -> AsyncIterator[events_pb2.Event]:
        """Its events, oldest first, those that come too, until it has ended: each once, whatever breaks meanwhile.

        `after`: events with a larger number. Whoever keeps the number of the last event goes on from there, also in
        another process.
        """
        async for snapshot in self.watch(job, patience=patience):
            async for event in self.events(snapshot.name, after=after):
                after = event.number
                yield event

    async def wait(self, job: str, *, timeout: float | None = None, patience: float = PATIENCE) -> jobs_pb2.Job:
        """The job once it has ended. DeadlineExceeded: it has not, after `timeout` seconds; it goes on."""

        async def last() -> jobs_pb2.Job:
            snapshot: jobs_pb2.Job | None = None
            async for snapshot in self.watch(job, patience=patience):
                pass
            assert snapshot is not None  # a watch ends with one that has ended
            return snapshot

        try:
            return await asyncio.wait_for(last(), timeout)
        except DeadlineExceeded:
            raise
        except asyncio.TimeoutError:
            raise DeadlineExceeded(
                f"{job} has not ended after {timeout} s", hint="it goes on; wait again, or cancel it"
            ) from None

    async def logs(
        self, job: str, *, follow: bool = False, tail: int = 0, after: str = "", patience: float = PATIENCE
    ) -> AsyncIterator[jobs_pb2.LogLine]:
        """Lines of its ranks' logs: each once, whatever breaks meanwhile.

        `follow`: until the job ends; `tail`: the last n alone, 0: all; `after`: the `position` of the last line that
        the caller has. A connection that breaks is made again; after `patience` seconds without one, its error is
        raised.
        """
        request = jobs_pb2.ReadLogsRequest(name=job, follow=follow, tail=tail, after=after)
        pause, since = pauses(), time.monotonic()
        while True:
            try:
                async for line in self._call.stream(self._jobs.ReadLogs, request):
                    request.after, request.tail = line.position, 0
                    pause, since = pauses(), time.monotonic()
                    yield line
                return
            except SeerError as error:
                if not may_come_back(error) or time.monotonic() - since > patience:
                    raise
            await asyncio.sleep(pause())

    # Checkpoints.

    async def checkpoints(self, job: str = "", *, page_size: int = 0) -> AsyncIterator[checkpoints_pb2.Checkpoint]:
        """Committed checkpoints of a job, or of all, newest first."""
        parent = (await self.job(job)).name if job else ""

        async def ask(token: str) -> tuple[list[checkpoints_pb2.Checkpoint], str]:
            request = checkpoints_pb2.ListCheckpointsRequest(parent=parent, page_token=token, page_size=page_size)
            page = await self._call(self._checkpoints.ListCheckpoints, request)
            return list(page.checkpoints), page.next_page_token

        async for checkpoint in pages(ask):
            yield checkpoint

    async def checkpoint(self, name: str) -> checkpoints_pb2.Checkpoint:
        """`name`: "jobs/{job}/checkpoints/{step}"."""
        request = checkpoints_pb2.GetCheckpointRequest(name=name)
        found: checkpoints_pb2.Checkpoint = await self._call(self._checkpoints.GetCheckpoint, request)
        return found

    async def verify_checkpoint(self, name: str) -> checkpoints_pb2.Checkpoint:
        """Reads every file again. DataLoss names the one that is damaged."""
        request = checkpoints_pb2.VerifyCheckpointRequest(name=name)
        verified: checkpoints_pb2.Checkpoint = await self._call(self._checkpoints.VerifyCheckpoint, request)
        return verified

    async def pin_checkpoint(self, name: str, *, user: str, reason: str = "") -> checkpoints_pb2.Checkpoint:
        """It is never deleted, until it is unpinned."""
        request = checkpoints_pb2.PinCheckpointRequest(name=name, user=user, reason=reason)
        pinned: checkpoints_pb2.Checkpoint = await self._call(self._checkpoints.PinCheckpoint, request)
        return pinned

    async def unpin_checkpoint(self, name: str) -> checkpoints_pb2.Checkpoint:
        """Retention decides about it again, at once."""
        request = checkpoints_pb2.UnpinCheckpointRequest(name=name)
        unpinned: checkpoints_pb2.Checkpoint = await self._call(self._checkpoints.UnpinCheckpoint, request)
        return unpinned

    # Workers.

    async def workers(self) -> AsyncIterator[workers_pb2.Worker]:
        """All machines that have registered."""

        async def ask(token: str) -> tuple[list[workers_pb2.Worker], str]:
            page = await self._call(self._workers.ListWorkers, workers_pb2.ListWorkersRequest(page_token=token))
            return list(page.workers), page.next_page_token

        async for worker in pages(ask):
            yield worker

    # Pools.

    def _pool_stub(self) -> pools_pb2_grpc.PoolsAsyncStub:
        if self._pools is None:
            raise InvalidArgument(
                "no data service is known", hint="give dataservice=, set SEER_DATASERVICE, or run `seer cluster up`"
            )
        return self._pools

    async def pools(self) -> AsyncIterator[pools_pb2.Pool]:
        """All pools, by name."""

        async def ask(token: str) -> tuple[list[pools_pb2.Pool], str]:
            page = await self._call(self._pool_stub().ListPools, pools_pb2.ListPoolsRequest(page_token=token))
            return list(page.pools), page.next_page_token

        async for pool in pages(ask):
            yield pool

    async def pool(self, pool: str, *, generation: int | None = None) -> pools_pb2.Pool:
        """`generation`: None: the newest."""
        request = pools_pb2.GetPoolRequest(name=_pool_name(pool), generation=generation)
        found: pools_pb2.Pool = await self._call(self._pool_stub().GetPool, request)
        return found

    async def create_pool(self, pool: str, policy: pools_pb2.PoolPolicy | Mapping[str, Any] | None = None) -> pools_pb2.Pool:
        """An empty pool. `policy`: which images it takes; None: all."""
        if isinstance(policy, Mapping):
            policy = pools_pb2.PoolPolicy(**policy)
        request = pools_pb2.CreatePoolRequest(pool_id=pool, policy=policy, request_id=str(uuid.uuid4()))
        created: pools_pb2.Pool = await self._call(self._pool_stub().CreatePool, request)
        return created

    async def ingest(
        self,
        pool: str,
        sources: Sequence[str | os.PathLike[str]],
        *,
        labels_from_folders: bool = False,
        request_id: str | None = None,
    ) -> AsyncIterator[pools_pb2.IngestProgress]:
        """Commits the next generation, with the images of `sources` as the data service sees them. The last message
        has `done`. Whoever stops reading leaves the pool as it was."""
        request = pools_pb2.IngestPoolRequest(
            name=_pool_name(pool),
            sources=[os.fspath(source) for source in sources],
            labels_from_folders=labels_from_folders,
            request_id=request_id or str(uuid.uuid4()),
        )
        async for progress in self._call.stream(self._pool_stub().IngestPool, request):
            yield progress


def _pool_name(pool: str) -> str:
    return pool if pool.startswith("pools/") else f"pools/{pool}"
