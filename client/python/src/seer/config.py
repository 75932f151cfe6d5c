"""Which cluster a client talks to: the command line's context file, and how calls are secured."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import socket
from collections.abc import Sequence
from typing import Any

import grpc
import yaml

from .errors import InvalidArgument


@dataclasses.dataclass(frozen=True)
class Tls:
    """Files in PEM. `ca`: whose certificates servers must have; None: the machine's authorities.

    `certificate` and `key`, both or none: of this client, for servers that ask for one.
    """

    ca: str | os.PathLike[str] | None = None
    certificate: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        def read(path: str | os.PathLike[str] | None) -> bytes | None:
            return None if path is None else pathlib.Path(path).read_bytes()

        return grpc.ssl_channel_credentials(read(self.ca), read(self.key), read(self.certificate))


@dataclasses.dataclass(frozen=True)
class Context:
    """`coordinator` and `dataservice`: HOST:PORT each; none: not known."""

    coordinator: tuple[str, ...] = ()
    dataservice: tuple[str, ...] = ()
    token: str | None = None
    tls: Tls | None = None


def config_path() -> pathlib.Path:
    """SEER_CONFIG, or seer/config.yaml below XDG_CONFIG_HOME or ~/.config, as the command line has it."""
    if named := os.environ.get("SEER_CONFIG"):
        return pathlib.Path(named)
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return pathlib.Path(base) / "seer/config.yaml"


def load_context(name: str | None = None) -> Context:
    """The context `name` of the file, as it stands; without a name the context SEER_CONTEXT, or else the current
    one, over which the environment wins: SEER_COORDINATOR, SEER_DATASERVICE, SEER_TOKEN, SEER_TLS_CA,
    SEER_TLS_CERT, SEER_TLS_KEY. An empty SEER_TOKEN is refused:
    whether the file's token is meant cannot be known."""
    if not name and os.environ.get("SEER_TOKEN") == "":
        raise InvalidArgument(
            "SEER_TOKEN is set, but empty",
            reason="TOKEN_MISSING",
            hint=f"put a token into it; or unset it, and the one in {config_path()} counts",
        )
    entry = _entry(name or os.environ.get("SEER_CONTEXT") or None)

    def setting(key: str) -> Any:
        # What the environment says is of one cluster, and a name may mean another one.
        return (None if name else os.environ.get(f"SEER_{key.upper()}")) or entry.get(key)

    ca, certificate, key, token = (setting(each) for each in ("tls_ca", "tls_cert", "tls_key", "token"))
    return Context(
        coordinator=split_addresses(setting("coordinator") or ()),
        dataservice=split_addresses(setting("dataservice") or ()),
        token=str(token) if token else None,
        tls=Tls(ca, certificate, key) if ca or certificate else None,
    )


def _entry(name: str | None) -> dict[str, Any]:
    path = config_path()
    if not path.exists():
        if name is None:
            return {}
        raise InvalidArgument(f"no context {name!r}: there is no {path}", hint="`seer cluster up` writes it")
    try:
        file = yaml.safe_load(path.read_text()) or {}
        wanted = name or file.get("current")
        entry = (file.get("contexts") or {}).get(wanted)
    except (yaml.YAMLError, AttributeError) as error:
        raise InvalidArgument(
            f"{path}: {error}", reason="YAML_SYNTAX", hint="mend the file or remove it; `seer cluster up` writes a new one"
        ) from error
    if name is not None and entry is None:
        raise InvalidArgument(f"no context {name!r} in {path}", hint=f"there are: {', '.join(file.get('contexts') or {})}")
    if entry is not None and not isinstance(entry, dict):
        raise InvalidArgument(f"{path}: the context {wanted!r} is no map of settings", reason="WRONG_TYPE")
    return entry or {}


def split_addresses(addresses: str | Sequence[str]) -> tuple[str, ...]:
    """"host:port,host:port", or a list of them, without spaces and empty ones."""
    texts = addresses.split(",") if isinstance(addresses, str) else addresses
    return tuple(text.strip() for text in texts if text.strip())


def target(addresses: Sequence[str]) -> str:
    """What gRPC dials. Of several addresses the names are looked up here, once."""
    if len(addresses) == 1:
        return addresses[0]
    found: list[str] = []
    for address in addresses:
        host, _, port = address.rpartition(":")
        try:
            infos = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        except (socket.gaierror, OverflowError, ValueError) as error:
            raise InvalidArgument(f"cannot resolve {address!r}: {error}", hint="write HOST:PORT") from error
        found += [f"{info[4][0]}:{info[4][1]}" for info in infos if info[0] == socket.AF_INET]
    return "ipv4:" + ",".join(dict.fromkeys(found))
