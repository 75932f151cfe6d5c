"""What a user may write: mypy --strict says nothing about it."""

import asyncio
from collections.abc import Iterator

import seer
from seer.v1 import checkpoints_pb2


def follow(client: seer.Client, path: str) -> Iterator[str]:
    job: seer.Job = client.submit(path, sets={"optim.lr": 0.3}, name="typed")
    for event in client.follow(job.name, after=3):
        number: int = event.number
        yield f"{number} {event.type}"
    for checkpoint in client.checkpoints(job.name):
        size: int = checkpoint.size_bytes
        yield str(size)


def newest(client: seer.Client) -> checkpoints_pb2.Checkpoint | None:
    return next(iter(client.checkpoints()), None)


async def losses(names: list[str]) -> list[float]:
    async with seer.aio.Client("127.0.0.1:7070", token="t", tls=seer.Tls(ca="ca.pem")) as client:
        jobs = await asyncio.gather(*(client.wait(name, timeout=5) for name in names))
        running = [job async for job in client.jobs([seer.JobState.JOB_STATE_RUNNING])]
        return [job.progress.loss for job in [*jobs, *running]]


def reason_of(client: seer.Client) -> str:
    try:
        client.parse({"optim": {"lr": 1}})
    except seer.InvalidArgument as error:
        return error.reason + error.field + error.hint
    return ""
