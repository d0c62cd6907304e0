"""``limner describe``: an answer on stdout and nothing else there."""

from pathlib import Path

import httpx2
import pytest

from limner.cli import remote
from limner.cli.exits import ExitCode
from tests.cli.conftest import Run, Scripted
from tests.media.hostile import black_png


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "black.png"
    path.write_bytes(black_png())
    return path


def test_the_answer_of_a_server(run: Run, scripted: Scripted, picture: Path) -> None:
    scripted.answer(200, {"text": "A cat.", "limner": {"model": "reader", "warnings": []}})
    ran = run("describe", picture, "what is it?", "--also", picture, "--model", "reader", "--server", scripted.url)
    assert (ran.code, ran.out, ran.err) == (ExitCode.OK, "A cat.\n", "model=reader\n")
    ((path, _, body),) = scripted.asked
    assert path == "/v1/images/describe"
    assert body.count(b'name="image[]"') == 2
    assert b"what is it?" in body
    assert b'name="model"' in body


@pytest.mark.parametrize(("options", "waits"), [(["--timeout", "600"], 720.0), ([], 300.0)])
def test_a_server_may_think_for_as_long_as_it_may_take(
    run: Run,
    scripted: Scripted,
    picture: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    waits: float,
) -> None:
    asked: list[float | None] = []
    send = httpx2.HTTPTransport.handle_request

    def noted(self: httpx2.HTTPTransport, request: httpx2.Request) -> httpx2.Response:
        asked.append(request.extensions["timeout"]["read"])
        return send(self, request)

    monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", noted)
    scripted.answer(200, {"text": "A cat."})
    assert run("describe", picture, *options, "--server", scripted.url).code == ExitCode.OK
    assert asked == [waits]


def test_a_server_that_never_answers_is_given_up(
    run: Run, scripted: Scripted, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "SILENCE_TIMEOUT_S", 0.1)
    scripted.delay_s = 1.0
    ran = run("describe", picture, "--timeout", "0.2", "--server", scripted.url)
    assert ran.code == ExitCode.TIMED_OUT
    assert "silent for 0.3 s" in ran.err


def test_an_answer_without_text_is_an_error(run: Run, scripted: Scripted, picture: Path) -> None:
    scripted.answer(200, {"data": []})
    ran = run("describe", picture, "--server", scripted.url)
    assert ran.code != ExitCode.OK
    assert "no text" in ran.err


def test_the_embedded_reader_answers_without_a_server(run: Run, picture: Path) -> None:
    ran = run("describe", picture, "--quiet")
    assert (ran.code, ran.err) == (ExitCode.OK, "")
    assert len(ran.out.splitlines()) == 1
    assert ran.out.strip().endswith(".")


def test_a_file_that_is_not_there(run: Run) -> None:
    ran = run("describe", "gone.png")
    assert (ran.code, ran.out) == (ExitCode.INVALID, "")
    assert "gone.png" in ran.err
