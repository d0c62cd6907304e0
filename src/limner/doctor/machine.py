"""Checks of the machine: Python, disk, clock, device, port."""

import asyncio
import errno
import http.client
import json
import platform
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import limner
from limner.config import Settings
from limner.doctor.finding import GB, Finding, ok, problem, shown_bytes, warning
from limner.engine import EngineSettings

OLDEST_PYTHON = (3, 11)
LITTLE_DISK_BYTES, NO_DISK_BYTES = 5 * GB, 0.5 * GB
CLOCK_SLACK_S = 60.0
ANSWER_S = 2.0
NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


async def check_python(settings: Settings) -> Sequence[Finding]:
    """The interpreter."""
    shown = (
        f"{platform.python_implementation()} {platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    if sys.version_info < OLDEST_PYTHON:
        return [problem(f"{shown} is too old", "install Python 3.11 or newer and set limner up again")]
    if sys.maxsize < 2**32:
        return [problem(f"{shown} is a 32-bit build, for which there is no torch", "install a 64-bit Python")]
    return [ok(f"limner {limner.__version__}, {shown}")]


async def check_data(settings: Settings) -> Sequence[Finding]:
    """The data directory."""
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.data):
            pass
    except OSError as error:
        reason = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        advice = "choose another with --data DIR, or let the user that runs limner write there"
        return [problem(f"cannot write to {str(settings.data)!r}: {reason}", advice)]
    return [ok(f"{settings.data} can be written")]


async def check_disk(settings: Settings) -> Sequence[Finding]:
    """Room where the data directory lies, or would lie."""
    place = next(path for path in (settings.data.absolute(), *settings.data.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    message = f"{shown_bytes(free)} are free at {place}"
    if free < NO_DISK_BYTES:
        return [problem(message, "make room, or choose another disk with --data DIR")]
    if free < LITTLE_DISK_BYTES:
        return [warning(message, "make room, or lower keep_images_s; a picture of a million pixels takes about 2 MB")]
    return [ok(message)]


async def check_clock(settings: Settings) -> Sequence[Finding]:
    """Whether the clock goes: nothing of ours can have been written in the future."""
    now_s = time.time()
    files = (Path(limner.__file__), settings.data / "limner.db", settings.data / "limner.db-wal")
    ahead = [path for path in files if path.exists() and path.stat().st_mtime > now_s + CLOCK_SLACK_S]
    if ahead:
        behind_s = max(path.stat().st_mtime for path in ahead) - now_s
        message = f"the clock says {_utc(now_s)}, but {ahead[0]} was written {behind_s:.0f} s later"
        return [problem(message, "set the clock (timedatectl, NTP): links, leases and limits go by it")]
    return [ok(_utc(now_s))]


def _utc(unix_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(unix_s))


async def check_device(settings: Settings) -> Sequence[Finding]:
    """torch, and the device that the settings mean, if pictures are drawn here."""
    return [] if not settings.draws else await asyncio.to_thread(_look_at_device, settings)


def _look_at_device(settings: Settings) -> Sequence[Finding]:
    try:
        from limner.engine.machine import machine
    except (ImportError, OSError) as error:
        return [problem(f"torch cannot be imported: {error}", "install it again: pip install --force-reinstall torch")]
    found = machine(EngineSettings(device=settings.device, dtype=settings.dtype))
    memory = "" if found.free_bytes is None else f", {shown_bytes(found.free_bytes)} free"
    of = "" if found.total_bytes is None else f" of {shown_bytes(found.total_bytes)}"
    message = f"torch {found.torch} on {found.device} ({found.device_name}){memory}{of}"
    if found.device == "cpu" and found.has_nvidia_driver and settings.device == "auto":
        why = "torch is built for CPUs" if found.torch_cuda is None else f"torch (CUDA {found.torch_cuda}) finds no GPU"
        advice = 'install a torch that fits the driver (see https://pytorch.org), or set device = "cpu"'
        return [warning(f"{message}; there is an NVIDIA driver, but {why}", advice)]
    return [ok(message)]


async def check_port(settings: Settings) -> Sequence[Finding]:
    """The address to listen on."""
    return await asyncio.to_thread(_look_at_port, settings.host, settings.port)


def _look_at_port(host: str, port: int) -> Sequence[Finding]:
    shown = f"{host} port {port}" if port else f"{host}, a port of the system's choice"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        return [problem(f"{host!r} is no address: {error}", "set host to an address of this machine")]
    refusals = [_bind(family, address) for family, _, _, _, address in found]
    if None in refusals and all(refusal is None or refusal.errno in NOT_HERE for refusal in refusals):
        return [ok(f"{shown} is free")]
    refusal = next(refusal for refusal in refusals if refusal is not None)
    if refusal.errno != errno.EADDRINUSE:
        return [
            problem(f"cannot listen on {shown}: {refusal.strerror}", "set host and port to an address of this machine")
        ]
    if _is_limner(found[0][4][0], port):
        return [ok(f"{shown}: a limner server answers there")]
    return [problem(f"{shown} is used by another program", "stop it, or choose another with --port P")]


def _bind(family: int, address: tuple[object, ...]) -> OSError | None:
    """Why ``address`` cannot be listened on; None if it can."""
    with closing(socket.socket(family, socket.SOCK_STREAM)) as listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
        except OSError as error:
            return error
    return None


def _is_limner(address: object, port: int) -> bool:
    """Whether what listens there answers as we would."""
    connection = http.client.HTTPConnection(str(address), port, timeout=ANSWER_S)
    with closing(connection):
        try:
            connection.request("GET", "/health")
            body = json.loads(connection.getresponse().read(65_536))
        except (OSError, http.client.HTTPException, ValueError):
            return False
    return isinstance(body, dict) and {"status", "model", "ready", "models"} <= body.keys()
