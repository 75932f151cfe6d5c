"""A client of seer, which pre-trains RegNets with SwAV on pools of images.

    import seer

    with seer.Client() as client:                      # the cluster of the command line's context file
        job = client.submit("recipes/photos-200mf.yaml", sets={"optim.lr": 0.3})
        for event in client.follow(job.name):
            print(event.type, event.to_state)

`seer.aio.Client` is the same with `await`. Messages are those of the gRPC API, `seer.v1`.
"""

from . import aio
from ._sync import Client
from .aio import ended
from .config import Context, Tls, config_path, load_context
from .errors import (
    Aborted,
    AlreadyExists,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    SeerError,
    Unauthenticated,
    Unavailable,
)
from .specs import Sets, Spec
from .v1.checkpoints_pb2 import Checkpoint
from .v1.events_pb2 import Event
from .v1.job_spec_pb2 import JobSpec
from .v1.jobs_pb2 import Job, JobState, LogLine
from .v1.pools_pb2 import Pool, PoolPolicy
from .v1.workers_pb2 import Worker

__all__ = [
    "Aborted",
    "AlreadyExists",
    "Checkpoint",
    "Client",
    "Context",
    "DataLoss",
    "DeadlineExceeded",
    "Event",
    "FailedPrecondition",
    "InvalidArgument",
    "Job",
    "JobSpec",
    "JobState",
    "LogLine",
    "NotFound",
    "PermissionDenied",
    "Pool",
    "PoolPolicy",
    "ResourceExhausted",
    "SeerError",
    "Sets",
    "Spec",
    "Tls",
    "Unauthenticated",
    "Unavailable",
    "Worker",
    "aio",
    "config_path",
    "ended",
    "load_context",
]
