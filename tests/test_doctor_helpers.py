"""What the doctor says of the models beside those that draw."""

import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from limner.config import Settings
from limner.doctor import CHECKS, helpers
from limner.doctor.finding import Finding
from tests.engine.grounding import tiny
from tests.test_doctor import changed
from tests.test_doctor import settings as settings  # a fixture

KEY = "sk-hidden"
LISTED = {"data": [{"id": "seer"}, {"id": "talker"}]}


@pytest.fixture
def api() -> Iterator[str]:
    """An API with two models and a key, at /v1; one without a list at /bare, a broken one at /broken."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            statuses = {"/v1/models": 200 if self.headers["authorization"] == f"Bearer {KEY}" else 401}
            self.send_response({**statuses, "/broken/models": 500}.get(self.path, 404))
            self.end_headers()
            self.wfile.write(json.dumps(LISTED).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def said(settings: Settings, check: str = "helpers") -> Finding:
    """The last finding of a check."""
    return (await CHECKS[check](settings))[-1]


@pytest.mark.parametrize(
    ("path", "model", "key", "level", "words"),
    [
        ("/v1", "seer", KEY, "ok", "answers for seer"),
        ("/v1/", "seeer", KEY, "warning", "does not list 'seeer'"),
        ("/v1", "seer", "sk-wrong", "problem", "does not accept the key"),
        ("/v1", "seer", "", "problem", "asks for a key"),
        ("/v1", "seer", "sk-é", "problem", "no header can carry"),
        ("/bare", "seer", KEY, "ok", "no list of models"),
        ("/broken", "seer", KEY, "warning", "status 500"),
    ],
)
@pytest.mark.parametrize("kind", ["vision", "language"])
async def test_somebody_elses_api(
    settings: Settings, api: str, kind: str, path: str, model: str, key: str, level: str, words: str
) -> None:
    there = {f"{kind}_url": f"{api}{path}", f"{kind}_model": model, f"{kind}_key": key}
    finding = await said(changed(settings, **there))
    assert (finding.level, words in finding.message) == (level, True), finding
    assert "sk-" not in finding.message + finding.advice
    assert bool(finding.advice) == (level != "ok")


async def test_an_api_that_is_not_there(settings: Settings) -> None:
    away = changed(settings, vision_url="http://me:hidden@127.0.0.1:9/v1", vision_model="seer")
    finding = await said(away)
    assert (finding.level, "127.0.0.1:9 cannot be reached" in finding.message) == ("problem", True)
    assert "hidden" not in finding.message


async def test_a_grounder_by_its_configuration(settings: Settings, tmp_path: Path) -> None:
    assert "embedded:grounder" in (await said(settings)).message
    tiny.clipseg(tmp_path)
    assert (await said(changed(settings, grounder=str(tmp_path)))).level == "ok"
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["BertModel"]}))
    for source, words in ((str(tmp_path), "is a BertModel"), ("./nothing", "no model at './nothing'")):
        finding = await said(changed(settings, grounder=source))
        assert (finding.level, words in finding.message) == ("problem", True), finding


async def test_a_grounder_that_would_be_downloaded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helpers, "on_disk", lambda source, found: None)
    finding = await said(settings)
    assert (finding.level, "not on this machine" in finding.message) == ("warning", True)


async def test_a_language_model_of_this_server(settings: Settings) -> None:
    assert (await said(changed(settings, language_model="reader"))).level == "ok"
    finding = await said(changed(settings, language_model="sketch"))
    assert (finding.level, "language_model 'sketch'" in finding.message) == ("problem", True)


@pytest.mark.parametrize("suffix", [".pth", ".onnx"])
async def test_tools_by_their_files_and_extras(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    file = tmp_path / f"4x-model{suffix}"
    served = changed(settings, models=(str(file),), suite="no")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "no file" in (await said(served, "models")).message
    file.touch()
    finding = await said(served, "models")
    assert (finding.level, finding.advice[:20]) == ("problem", "pip install 'limner[")
    monkeypatch.undo()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert (await said(served, "models")).level == "ok"
