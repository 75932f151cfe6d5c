"""Jobs as they are given to `submit`."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Union

from .errors import InvalidArgument
from .v1 import job_spec_pb2, specs_pb2

# A path of a YAML or JSON file; its text, told by a line break; its content as a dictionary; or the message.
Spec = Union[str, "os.PathLike[str]", Mapping[str, Any], job_spec_pb2.JobSpec]
# "optim.lr=0.3" over the spec, or {"optim.lr": 0.3}.
Sets = Union[Sequence[str], Mapping[str, Any]]


def parse_request(spec: str | os.PathLike[str] | Mapping[str, Any], sets: Sets, name: str) -> specs_pb2.ParseSpecsRequest:
    """What the coordinator is to read: it alone knows the keys, the recipes and the rules."""
    text, source = _text(spec)
    return specs_pb2.ParseSpecsRequest(text=text, source=source, sets=_sets(sets), name=name)


def _text(spec: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[str, str]:
    if isinstance(spec, Mapping):
        try:
            return json.dumps(spec), "dict"
        except TypeError as error:
            raise InvalidArgument(f"the spec cannot be written as JSON: {error}", hint="use plain values") from error
    if isinstance(spec, str) and "\n" in spec:
        return spec, "text"
    try:
        return pathlib.Path(spec).read_text(encoding="utf-8"), os.fspath(spec)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"cannot read {os.fspath(spec)}: {error}", hint="name a YAML file with a job") from error


def _sets(sets: Sets) -> list[str]:
    if isinstance(sets, str):
        raise InvalidArgument("sets is one text", hint='give a list, ["optim.lr=0.3"], or a dictionary')
    if isinstance(sets, Mapping):
        return [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in sets.items()]
    return list(sets)
