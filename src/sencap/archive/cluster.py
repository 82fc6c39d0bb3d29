"""Ray, for the time of a run: on this machine alone, or a cluster that is there.

On this machine all its ports are on the loopback, its interface asks for a token of
this run, nothing is reported to its maker, and its files are deleted at the end. What
it says goes to a file. Ray's settings are variables of the environment, which its
processes inherit; they are put back at the end. Ray looks at some as it is imported: a
program that has imported it before gets ports on the machine's own address.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from sencap.errors import SettingsError

_NOWHERE = "http://127.0.0.1:9"  # a port of the loopback behind which nothing listens
_ADDRESS = re.compile(r"auto|[\w.-]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}")
_STORE = 100 << 20  # bytes that processes share: numbers of blocks are all they tell
_QUIET: dict[str, str | None] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_TQDM": "0",
}
# The name is of other systems; on Linux, too, it makes this machine's address that of
# the loopback, to which all ports are bound.
_ON_LOOPBACK: dict[str, str | None] = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PATIENCE = 5  # seconds for a head to answer: Ray itself tries for minutes
_ALONE: dict[str, str | None] = {
    **_ON_LOOPBACK,
    "RAY_AUTH_MODE": None,  # Ray's own choice, which is to ask for a token
    # One of its processes asks the cloud's metadata server what machine this is, even
    # if nothing is reported. It does so by HTTP, and is sent to a closed door.
    "http_proxy": _NOWHERE,
    "HTTP_PROXY": _NOWHERE,
    "https_proxy": _NOWHERE,
    "HTTPS_PROXY": _NOWHERE,
    "no_proxy": "",
    "NO_PROXY": "",
}


def check_address(address: str | None) -> None:
    """Refuse what is no address of a cluster.

    Raises:
        SettingsError: with what it should be.
    """
    if address is not None and not _ADDRESS.fullmatch(address):
        raise SettingsError(
            f"address={address!r}: it is HOST:PORT of a Ray cluster's head, as ray start "
            "--head prints it, or auto for a cluster that this machine is part of"
        )


def _reached(address: str) -> str:
    """The host of a cluster's head, after a look whether anything listens there.

    Raises:
        SettingsError: nothing does.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host:  # auto
        return ""
    try:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise SettingsError(
            f"address={address}: nothing answers there ({error}); ray status tells on "
            "the head's machine whether it runs"
        ) from error
    return host


@contextlib.contextmanager
def cluster(
    log: Path, *, address: str | None, cores: int
) -> Iterator[tuple[Any, TextIO]]:
    """Ray, connected, and where progress may be shown meanwhile.

    ``cores`` are those that a Ray of our own hands out. ``log`` takes what Ray, its
    libraries and this process print meanwhile.

    Raises:
        SettingsError: no cluster answers at the address, or this process uses Ray
            already.
    """
    with contextlib.ExitStack() as ending:
        more = {**_ALONE, "RAY_AUTH_TOKEN": _token()}
        if address is not None:
            more = _ON_LOOPBACK if _reached(address) in _LOOPBACK else {}
        ending.enter_context(_environment({**_QUIET, **more}))
        terminal = ending.enter_context(_output_to(log))
        import ray  # noqa: PLC0415  (an extra, and it reads the environment)
        import ray.data  # noqa: PLC0415

        if ray.is_initialized():
            raise SettingsError(
                "this process uses Ray already; end that with ray.shutdown() first"
            )
        options: dict[str, Any] = {
            "log_to_driver": False,
            "logging_level": logging.ERROR,
        }
        if address is None:
            place = ending.enter_context(_folder_of_ray())
            options |= {
                "num_cpus": cores,
                "num_gpus": 0,
                "include_dashboard": False,
                "object_store_memory": _STORE,
                "_temp_dir": str(place),
            }
        ending.callback(ray.shutdown)
        on_sigterm = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(address=address or "local", **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            if address is None:
                raise
            raise SettingsError(
                f"address={address}: no Ray cluster answers there "
                f"({str(error).splitlines()[0]}); ray status tells on its machine"
            ) from error
        with contextlib.suppress(ValueError):  # not the main thread
            # Ray's own handler would end this process
            signal.signal(signal.SIGTERM, on_sigterm)
        yield ray, terminal


@functools.cache
def _token() -> str:
    """The token of this process's own Ray, which would else write one into the user's
    home folder."""
    return secrets.token_hex(32)


@contextlib.contextmanager
def _environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Variables of the environment for the time of the block; None is "not set"."""
    before = {name: os.environ.get(name) for name in values}
    _set_all(values)
    try:
        yield
    finally:
        _set_all(before)


def _set_all(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextlib.contextmanager
def _output_to(log: Path) -> Iterator[TextIO]:
    """Let what this process and its children write to standard output and error go to a
    file; gives the standard error that there was.

    Ray's C++ side writes to the descriptors themselves, so that Python's own streams
    are not enough.
    """
    with contextlib.ExitStack() as ending:
        file = ending.enter_context(log.open("ab"))
        for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
            stream.flush()
            kept = os.dup(descriptor)
            os.dup2(file.fileno(), descriptor)
            ending.callback(_give_back, stream, kept, descriptor)
        # of standard error, which came last
        copy = os.fdopen(os.dup(kept), "w", encoding="utf-8", errors="backslashreplace")
        yield ending.enter_context(copy)


def _give_back(stream: TextIO, kept: int, descriptor: int) -> None:
    stream.flush()
    os.dup2(kept, descriptor)
    os.close(kept)


@contextlib.contextmanager
def _folder_of_ray() -> Iterator[Path]:
    """A folder for Ray's sockets and logs, deleted at the end."""
    # sockets have names of about 100 letters at most, which leaves little for a folder
    short = Path("/tmp")  # noqa: S108  (a folder of its own is made in it)
    root = short if short.is_dir() else Path(tempfile.gettempdir())
    place = Path(tempfile.mkdtemp(prefix="sencap-", dir=root))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
