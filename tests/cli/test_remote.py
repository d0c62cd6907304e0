"""What goes over the wire, and every kind of answer."""

import base64
import json
import logging
from pathlib import Path
from typing import NoReturn

import pytest

from limner.cli.exits import ExitCode
from limner.cli.remote import base_url
from tests.cli.conftest import Run, Scripted

PNG = b"\x89PNG as far as a client cares"
B64 = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    "server", ["http://host:8000", "http://host:8000/", "http://host:8000/v1", "host:8000", "host:8000/v1/"]
)
def test_servers_may_be_named_as_people_have_them(server: str) -> None:
    assert base_url(server) == "http://host:8000"


def test_the_request_holds_what_was_said_and_nothing_else(run: Run, scripted: Scripted) -> None:
    scripted.answer(200, {"data": [{"b64_json": B64}]})
    ran = run("generate", "a red circle", "--steps", 4, "--server", scripted.url, "--api-key", "secret")
    ((path, headers, body),) = scripted.asked
    assert path == "/v1/images/generations"
    assert headers["authorization"] == "Bearer secret"
    assert json.loads(body) == {
        "prompt": "a red circle",
        "n": 1,
        "num_inference_steps": 4,
        "output_format": "png",
        "stream": True,
    }
    assert ran.out == "limner.png\n"


def test_server_and_key_may_stand_in_the_environment(
    run: Run, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMNER_SERVER", scripted.url)
    monkeypatch.setenv("LIMNER_API_KEY", "from-environment")
    scripted.answer(200, {"data": [{"b64_json": B64}]})
    assert run("generate", "x").code == ExitCode.OK
    assert scripted.asked[0][1]["authorization"] == "Bearer from-environment"


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (400, "invalid_value", ExitCode.INVALID),
        (401, "invalid_api_key", ExitCode.REFUSED),
        (402, "insufficient_credits", ExitCode.REFUSED),
        (403, "forbidden", ExitCode.REFUSED),
        (404, "model_not_found", ExitCode.INVALID),
        (408, "timeout", ExitCode.TIMED_OUT),
        (409, "conflict", ExitCode.INVALID),
        (413, "too_large", ExitCode.INVALID),
        (415, "unsupported_media_type", ExitCode.INVALID),
        (418, "teapot", ExitCode.INVALID),
        (422, "validation", ExitCode.INVALID),
        (429, "queue_full", ExitCode.OVERLOADED),
        (429, "rate_limited", ExitCode.OVERLOADED),
        (499, "cancelled", ExitCode.INTERRUPTED),
        (500, "internal_error", ExitCode.FAILED),
        (502, "upstream_failed", ExitCode.FAILED),
        (503, "not_ready", ExitCode.UNREACHABLE),
        (504, "upstream_timeout", ExitCode.TIMED_OUT),
    ],
)
def test_a_refusal_is_told_in_the_servers_words(
    run: Run, scripted: Scripted, status: int, code: str, exit_code: ExitCode
) -> None:
    scripted.refuse(status, code, "this is why")
    ran = run("generate", "x", "--server", scripted.url)
    where = "; on the command line with --api-key or LIMNER_API_KEY" if status == 401 else ""
    assert (ran.code, ran.out, ran.err) == (exit_code, "", f"limner: this is why{where}\n")
    assert run("generate", "x", "--server", scripted.url, "--api-key", "k").err == "limner: this is why\n"


@pytest.mark.parametrize(
    ("code", "exit_code"), [("timeout", ExitCode.TIMED_OUT), ("upstream_failed", ExitCode.FAILED), (None, 1)]
)
def test_an_error_in_the_stream_is_told_too(
    run: Run, scripted: Scripted, code: str | None, exit_code: ExitCode
) -> None:
    scripted.kind = "text/event-stream"
    event = {"type": "error", "error": {"message": "too late", "code": code}}
    scripted.body = b": keep-alive\n\nevent: error\ndata: " + json.dumps(event).encode() + b"\n\n"
    ran = run("generate", "x", "--server", scripted.url)
    assert (ran.code, ran.err) == (exit_code, "limner: too late\n")


def test_pictures_of_a_stream_are_put_in_order(run: Run, scripted: Scripted) -> None:
    scripted.kind, scripted.body = "text/event-stream", b""
    for index in (1, 0):
        event = {"type": "image_generation.completed", "b64_json": base64.b64encode(b"%d" % index).decode()}
        scripted.body += b"data: " + json.dumps({**event, "image_index": index}).encode() + b"\n\n"
    ran = run("generate", "x", "-n", 2, "-o", "a.png", "--server", scripted.url)
    assert ran.out.split() == ["a_0.png", "a_1.png"]
    assert [Path(name).read_bytes() for name in ran.out.split()] == [b"0", b"1"]


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (200, "text/html", b"<html>welcome to my router</html>"),
        (200, "application/json", b"[]"),
        (200, "application/json", b'{"data": [{"url": "http://x"}]}'),
        (200, "application/json", b'{"data": []}'),
        (200, "application/json", b'{"data": ["a picture"]}'),
        (200, "application/json", b'{"data": [{"b64_json": "AAAA"}], "limner": null}'),
        (200, "application/json", b'{"data": [{"b64_json": "AAAA"}], "limner": {"effective": ["x"]}}'),
        (200, "application/json", b'{"data": [{"b64_json": "AAAA"}], "limner": {"warnings": ["x"]}}'),
        (200, "text/event-stream", b'data: {"type": "x.completed", "b64_json": "AAAA", "image_index": "first"}\n\n'),
        (200, "text/event-stream", b": keep-alive\n\n"),
        (500, "text/plain", b"out of paper"),
    ],
)
def test_an_answer_that_makes_no_sense_is_a_failure_and_no_traceback(
    run: Run, scripted: Scripted, status: int, kind: str, body: bytes
) -> None:
    scripted.status, scripted.kind, scripted.body = status, kind, body
    ran = run("generate", "x", "--server", scripted.url)
    assert (ran.code, ran.out) == (ExitCode.FAILED, "")
    assert ran.err.count("\n") == 1
    assert "unexpected failure" not in ran.err


@pytest.mark.parametrize("body", [{"data": ["sketch"]}, {"data": [{}]}, {"data": None}])
def test_models_that_make_no_sense_are_a_failure(run: Run, scripted: Scripted, body: dict[str, object]) -> None:
    scripted.answer(200, body)
    ran = run("models", "--server", scripted.url)
    assert (ran.code, ran.err) == (
        ExitCode.FAILED,
        "limner: the server answered /v1/models without a list of models\n",
    )


def test_a_description_that_makes_no_sense_is_a_failure(run: Run, scripted: Scripted, tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(PNG)
    scripted.answer(200, {"text": "a cat", "limner": None})
    ran = run("describe", "in.png", "--server", scripted.url)
    assert (ran.code, "is --server a limner server?" in ran.err) == (ExitCode.FAILED, True)


def test_an_answer_that_cannot_be_unpacked_is_told(run: Run, scripted: Scripted) -> None:
    scripted.headers, scripted.body = {"content-encoding": "gzip"}, b"not gzip"
    ran = run("models", "--server", scripted.url)
    assert (ran.code, "unexpected failure" in ran.err) == (ExitCode.UNREACHABLE, False)


@pytest.mark.parametrize(
    ("location", "advice"),
    [
        ("https://host:8443/images/v1/models", "use --server https://host:8443/images\n"),
        ("https://me:my-password@host/v1/models", "use --server https://host\n"),
        ("/login", "/login: this is no limner server's answer\n"),
    ],
)
def test_a_redirect_is_told_with_where_it_leads(run: Run, scripted: Scripted, location: str, advice: str) -> None:
    scripted.status, scripted.headers = 301, {"location": location}
    ran = run("models", "--server", scripted.url)
    assert (ran.code, ran.err.count("\n")) == (ExitCode.INVALID, 1)
    assert ran.err.endswith(advice)


def test_nobody_there_is_its_own_code(run: Run) -> None:
    ran = run("generate", "x", "--server", "http://127.0.0.1:1")
    assert ran.code == ExitCode.UNREACHABLE
    assert "http://127.0.0.1:1" in ran.err


@pytest.mark.parametrize("login", ["me:my-password@", "me@"])
def test_a_key_stands_beside_the_login_of_the_url(run: Run, scripted: Scripted, login: str) -> None:
    scripted.answer(200, {"data": []})
    run("models", "--server", scripted.url.replace("//", f"//{login}"), "--api-key", "secret")
    ((_, headers, _),) = scripted.asked
    assert headers["authorization"].startswith("Basic ")
    assert headers["x-api-key"] == "secret"


@pytest.mark.parametrize("server", ["http://me:my-password@127.0.0.1:1/a@b", "me:my-password@127.0.0.1:1/a@b"])
def test_a_password_in_the_url_is_not_repeated(run: Run, server: str) -> None:
    ran = run("models", "--server", server)
    assert (ran.code, "my-password" in ran.err, "127.0.0.1:1/a@b" in ran.err) == (ExitCode.UNREACHABLE, False, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("ALL_PROXY", "socks://127.0.0.1:1080/"), ("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_FILE", "/")],
)
def test_an_environment_that_no_client_can_use_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    ran = run("models", "--server", "https://127.0.0.1:1")
    assert (ran.code, ran.err.count("\n"), name in ran.err) == (ExitCode.INVALID, 1, True)


def test_a_server_without_models_leaves_stdout_empty(run: Run, scripted: Scripted) -> None:
    scripted.answer(200, {"data": []})
    assert run("models", "--server", scripted.url).out == ""
    assert run("models", "--server", scripted.url, "--json").out == "[]\n"


def test_models_of_a_server(run: Run, scripted: Scripted) -> None:
    scripted.answer(
        200,
        {
            "data": [
                {"id": "sketch", "state": "ready", "operations": ["generate", "edit"]},
                {"id": "large/model", "state": "loading", "operations": ["generate"]},
            ]
        },
    )
    listed = run("models", "--server", scripted.url)
    assert listed.out == "sketch       ready    generate edit\nlarge/model  loading  generate\n"
    loaded = run("models", "--server", scripted.url, "--loaded", "--json")
    assert [model["id"] for model in json.loads(loaded.out)] == ["sketch"]


def test_a_stand_in_is_named(run: Run, scripted: Scripted) -> None:
    sketch = {"id": "sketch", "state": "ready", "stand_in": None, "operations": ["generate"]}
    other = {"id": "large/model", "state": "ready", "stand_in": "sketch", "operations": ["edit"]}
    scripted.answer(200, {"data": [sketch, other]})
    first, second = run("models", "--server", scripted.url).out.splitlines()
    assert first.split() == ["sketch", "ready", "generate"]
    assert second == "large/model  ready  drawn by sketch  edit"
    assert "drawn by" not in run("models").out


@pytest.mark.parametrize(
    ("command", "work", "has_it"), [("models", "models._of_catalogue", True), ("usage", "usage.print_usage", False)]
)
def test_a_hint_names_an_option_that_the_command_has(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str, work: str, has_it: bool
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr(f"limner.cli.{work}", fail)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    ran = run(command)
    assert (ran.code, "ZeroDivisionError" in ran.err, "--log-level" in ran.err) == (ExitCode.FAILED, True, has_it)


def test_models_of_the_catalogue(run: Run) -> None:
    assert any(line.split()[0] == "sketch" for line in run("models").out.splitlines())
    assert "sketch" in {model["id"] for model in json.loads(run("models", "--json").out)}
