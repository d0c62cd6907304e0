"""What the doctor says of machines and settings that are well, odd and broken."""

import json
import os
import shutil
import socket
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from limner.accounts import NewKey, open_keyring
from limner.config import Settings, load_settings
from limner.doctor import CHECKS, Finding, examine
from limner.doctor import machine as machine_checks
from limner.engine import machine as engine_machine
from limner.store import open_store

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(None, {"data": tmp_path / "data", "port": 0, "device": "cpu"})


def changed(settings: Settings, **values: object) -> Settings:
    return Settings.model_validate({**settings.model_dump(), **values})


async def findings_of(settings: Settings, check: str = "") -> list[Finding]:
    """What all checks say, or one of them."""
    return [finding async for finding in examine(settings) if check in ("", finding.check)]


async def one(settings: Settings, check: str) -> Finding:
    """The single finding of a check."""
    (finding,) = [found.of(check) for found in await CHECKS[check](settings)]
    return finding


def levels(findings: Sequence[Finding]) -> set[str]:
    return {finding.level for finding in findings}


async def test_a_machine_as_the_tests_run_on_is_well(settings: Settings) -> None:
    findings = await findings_of(settings)
    assert {finding.check for finding in findings} == CHECKS.keys() - {"traces"}
    assert "problem" not in levels(findings), findings


async def test_whatever_is_not_ok_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    broken = load_settings(
        None,
        {
            "data": tmp_path / "data",
            "models": ("none", "./nothing"),
            "database": "mysql://host/x",
            "blobs": "ftp://host/x",
            "otlp_endpoint": "host:1",
            "host": "192.0.2.1",
            "open": "yes",
            "device": "mps",
        },
    )
    findings = await findings_of(broken)
    told = {finding.check for finding in findings if finding.level == "problem"}
    assert told == {"data", "database", "pictures", "device", "models", "port", "traces"}
    assert [
        finding for finding in findings if finding.level != "ok" and not finding.advice and finding.check != "device"
    ] == []


async def test_a_check_that_breaks_does_not_keep_the_others_from_being_made(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(settings: Settings) -> Sequence[Finding]:
        raise ZeroDivisionError("oops")

    monkeypatch.setitem(CHECKS, "clock", broken)
    findings = await findings_of(settings)
    (clock,) = [finding for finding in findings if finding.check == "clock"]
    assert (clock.level, "ZeroDivisionError" in clock.message) == ("problem", True)
    assert findings[-1].check == "port"


async def test_an_old_python(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await one(settings, "python")).level == "ok"
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    assert (await one(settings, "python")).level == "problem"


@pytest.mark.parametrize(("free", "level"), [(100e9, "ok"), (1e9, "warning"), (1e8, "problem")])
async def test_room_on_the_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch, free: float, level: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, free))
    assert (await one(settings, "disk")).level == level


async def test_a_data_directory_that_is_a_file(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = await one(changed(settings, data=tmp_path / "file"), "data")
    assert (finding.level, "it is a file" in finding.message) == ("problem", True)


async def test_a_data_directory_is_made_for_its_owner_alone(settings: Settings) -> None:
    assert (await one(settings, "data")).level == "ok"
    assert settings.data.stat().st_mode & 0o777 == 0o700


async def test_a_clock_that_went_back(settings: Settings) -> None:
    settings.data.mkdir()
    assert (await one(settings, "clock")).level == "ok"
    (settings.data / "limner.db").touch()
    later_s = time.time() + 7200
    os.utime(settings.data / "limner.db", (later_s, later_s))
    finding = await one(settings, "clock")
    assert finding.level == "problem"
    assert "limner.db was written 7" in finding.message


async def test_the_database_is_opened_and_named(settings: Settings) -> None:
    finding = await one(settings, "database")
    assert finding.level == "ok"
    assert "SQLite" in finding.message
    assert "schema" in finding.message


async def test_a_database_that_is_not_there(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    away = changed(settings, database=f"postgresql://me:hidden@127.0.0.1:{port}/x")
    finding = await one(away, "database")
    assert finding.level == "problem"
    assert "hidden" not in finding.message


async def test_a_database_that_never_answers(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limner.doctor.parts.DEADLINE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/x"
        finding = await one(changed(settings, database=url), "database")
    assert (finding.level, "within 0.2 s" in finding.message) == ("problem", True)


async def test_on_a_public_address_the_first_start_makes_a_key(settings: Settings) -> None:
    public = changed(settings, host="0.0.0.0")
    assert "makes one" in (await findings_of(public, "database"))[-1].message
    async with open_store(public.database_url) as store, open_keyring(store, public) as keyring:
        await keyring.create(NewKey("mine"))
    assert len(await findings_of(public, "database")) == 1


async def test_missing_credentials_are_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr("limner.doctor.parts.DEADLINE_S", 2.0)
    finding = await one(changed(settings, blobs="s3://bucket/prefix"), "pictures")
    assert finding.level == "problem"
    assert "AWS_ACCESS_KEY_ID" in finding.advice


async def test_traces_are_spoken_of_where_they_are_asked_for(settings: Settings) -> None:
    assert await CHECKS["traces"](settings) == []
    asked = changed(settings, otlp_endpoint="http://127.0.0.1:4318")
    assert (await one(asked, "traces")).level == "ok"
    assert (await one(changed(asked, trace_share=0.0), "traces")).level == "warning"
    assert (await one(changed(asked, otlp_endpoint="127.0.0.1:4318"), "traces")).level == "problem"


def machine_of(**values: Any) -> engine_machine.Machine:
    plain: dict[str, Any] = {
        "torch": "2.13.0",
        "torch_cuda": None,
        "has_nvidia_driver": False,
        "device": "cpu",
        "device_name": "CPU",
        "bytes_per_number": 4,
        "free_bytes": 10**12,
        "total_bytes": 10**12,
    }
    return engine_machine.Machine(**{**plain, **values})


@pytest.mark.parametrize(
    ("found", "level", "said"),
    [
        (machine_of(), "ok", "on cpu"),
        (machine_of(device="cuda", device_name="H200", free_bytes=None, total_bytes=None), "ok", "H200"),
        (machine_of(has_nvidia_driver=True), "warning", "torch is built for CPUs"),
        (machine_of(has_nvidia_driver=True, torch_cuda="12.8"), "warning", "finds no GPU"),
    ],
)
async def test_the_device(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, found: engine_machine.Machine, level: str, said: str
) -> None:
    monkeypatch.setattr(engine_machine, "machine", lambda settings: found)
    finding = await one(changed(settings, device="auto"), "device")
    assert (finding.level, said in finding.message) == (level, True)


async def test_a_torch_that_cannot_be_imported(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "limner.engine.machine", None)
    finding = await one(settings, "device")
    assert (finding.level, "torch cannot be imported" in finding.message) == ("problem", True)


def checkpoint(path: Path, numbers: int) -> Path:
    """A model's directory as the doctor sees it."""
    (path / "unet").mkdir(parents=True)
    (path / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    if numbers:
        save_file({"w": torch.zeros(numbers, dtype=torch.float16)}, path / "unet" / "model.safetensors")
    return path


@pytest.mark.parametrize(
    ("free", "level", "said"),
    [(10**9, "ok", "take 4 MB"), (5 * 10**6, "warning", "may not fit"), (10**6, "problem", "are free on cpu")],
)
async def test_models_are_held_against_the_memory(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, level: str, said: str
) -> None:
    monkeypatch.setattr(engine_machine, "machine", lambda settings: machine_of(free_bytes=free))
    served = changed(settings, models=(str(checkpoint(tmp_path / "a", 10**6)),))
    findings = await CHECKS["models"](served)
    assert (findings[-1].level, said in findings[-1].message) == (level, True)
    assert findings[0].level == "ok"


async def test_models_that_are_not_there_are_told_apart(settings: Settings, tmp_path: Path) -> None:
    empty = str(checkpoint(tmp_path / "empty", 0))
    findings = await CHECKS["models"](changed(settings, models=("sketch", "./nothing", empty)))
    assert [finding.level for finding in findings[:3]] == ["ok", "problem", "problem"]
    assert "./nothing" in findings[1].message
    assert "no weights" in findings[2].message


async def test_a_hubs_model_that_would_be_downloaded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limner.doctor.models.on_disk", lambda source, found: None)
    finding, *_ = await CHECKS["models"](settings)
    assert (finding.level, "not on this machine" in finding.message) == ("warning", True)


async def test_two_models_of_one_name(settings: Settings) -> None:
    findings = await CHECKS["models"](changed(settings, models=("sketch", "sketch")))
    assert (findings[-1].level, "like another one" in findings[-1].message) == ("problem", True)


@pytest.fixture
def limner_next_door() -> Iterator[int]:
    """The port of something that answers /health as limner does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"status": "ok", "model": "sketch", "ready": True, "models": []}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


async def test_a_port_on_which_limner_runs_already(settings: Settings, limner_next_door: int) -> None:
    finding = await one(changed(settings, port=limner_next_door), "port")
    assert (finding.level, "limner server answers" in finding.message) == ("ok", True)


async def test_a_port_of_somebody_else(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as other:
        finding = await one(changed(settings, port=other.getsockname()[1]), "port")
    assert (finding.level, "another program" in finding.message) == ("problem", True)


@pytest.mark.parametrize("host", ["192.0.2.1", "host.invalid", "a..b"])
async def test_an_address_that_is_not_here(settings: Settings, host: str) -> None:
    assert (await one(changed(settings, host=host, port=8000), "port")).level == "problem"


@pytest.mark.parametrize(
    ("values", "level", "said"),
    [
        ({}, "ok", "agree"),
        ({"host": "0.0.0.0", "public_url": "https://x.org", "open": "yes"}, "warning", "everybody"),
        ({"host": "::", "public_url": "http://x.org"}, "warning", "not https"),
        ({"host": "0.0.0.0"}, "warning", "http://0.0.0.0"),
        ({"host": "0.0.0.0", "webhooks": False}, "ok", "agree"),
        ({"host": "192.168.1.5"}, "ok", "agree"),
        ({"database": "sqlite://"}, "warning", "in memory"),
        ({"database": "sqlite://", "draws": False}, "problem", "nobody could draw"),
        ({"blobs": "memory://"}, "warning", "end with the process"),
        ({"database": "postgresql://h/x"}, "warning", "key-pepper"),
        ({"database": "postgresql://h/x", "secret": "ab" * 32}, "ok", "agree"),
        (
            {"database": "postgresql://h/x", "secret": "ab" * 32, "draws": False},
            "warning",
            "directory of this machine",
        ),
        (
            {"database": "postgresql://h/x", "secret": "ab" * 32, "draws": False, "blobs": "s3://b"},
            "ok",
            "agree",
        ),
    ],
)
async def test_settings_are_held_against_one_another(
    settings: Settings, values: dict[str, object], level: str, said: str
) -> None:
    finding = await one(changed(settings, **values), "settings")
    assert (finding.level, said in finding.message) == (level, True)


async def test_a_process_that_does_not_draw_needs_no_device(settings: Settings) -> None:
    taking = changed(settings, draws=False, database="postgresql://h/x", device="mps")
    assert await CHECKS["device"](taking) == []
    for finding in await CHECKS["models"](taking):
        assert (finding.level, "other processes" in finding.message) == ("ok", True)
