"""Generates seer/v1 out of the protos while a wheel is built: messages, stubs, and the types of both."""

import pathlib
import shutil
import sys
import sysconfig
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ProtoHook(BuildHookInterface):  # type: ignore[type-arg]
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        self._out = pathlib.Path(tempfile.mkdtemp(prefix="seer-protos-"))
        generate(find_protos(pathlib.Path(self.root)), self._out)
        for path in sorted(self._out.rglob("*.py*")):
            build_data["force_include"][str(path)] = str(path.relative_to(self._out))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if self.target_name == "wheel":
            shutil.rmtree(self._out, ignore_errors=True)


def find_protos(root: pathlib.Path) -> pathlib.Path:
    """Where seer/v1/*.proto lies: in a source distribution, or in the tree that the package is part of."""
    for folder in (root / "proto", root.parent.parent / "proto"):
        if (folder / "seer/v1/jobs.proto").is_file():
            return folder
    raise FileNotFoundError(f"no seer/v1/*.proto below {root}/proto or {root.parent.parent}/proto")


def find_plugin(name: str) -> pathlib.Path:
    """A program of mypy-protobuf in this environment, whether or not a shell would find it."""
    for folder in (pathlib.Path(sys.executable).parent, pathlib.Path(sysconfig.get_path("scripts"))):
        if (folder / name).is_file():
            return folder / name
    found = shutil.which(name)  # of an isolated build its folder is on the path
    if found is None:
        raise FileNotFoundError(f"no {name}: install mypy-protobuf")
    return pathlib.Path(found)


def generate(protos: pathlib.Path, out: pathlib.Path) -> None:
    from grpc_tools import protoc

    files = sorted(str(path.relative_to(protos)) for path in (protos / "seer/v1").glob("*.proto"))
    well_known = pathlib.Path(protoc.__file__).parent / "_proto"
    plugins = [f"--plugin={name}={find_plugin(name)}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    arguments = ["protoc", f"-I{protos}", f"-I{well_known}", *plugins, f"--python_out={out}"]
    arguments += [f"--grpc_python_out={out}", f"--mypy_out={out}", f"--mypy_grpc_out={out}", *files]
    if protoc.main(arguments) != 0:
        raise RuntimeError("protoc failed; its messages stand above")
    (out / "seer/v1/__init__.py").write_text('"""The messages and stubs of the public gRPC API, generated."""\n')
