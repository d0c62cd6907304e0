"""How a log line looks, and which ids are on it."""

import asyncio
import contextvars
import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from limner.config import load_settings
from limner.core import Lora, Operation, Output, Picture, Request, Size
from limner.logs import JsonLines, TextLines, bind_job, bind_request, bind_trace, configure, request_fields

REQUEST = Request(
    Operation.EDIT,
    "sketch",
    "a secret garden",
    inputs=(Picture("L", Size(1, 1), b"x"),),
    n=2,
    size=Size(256, 128),
    seed=7,
    output=Output("webp"),
    params={
        "num_inference_steps": 12,
        "guidance_scale": 2.5,
        "negative_prompt": "weeds",
        "style_words": "late baroque",
        "scheduler": "euler",
        "lora": (Lora("owner/name", 0.5),),
    },
    owner="key_1",
)


@pytest.fixture
def lines() -> Iterator[Callable[[logging.Formatter], tuple[logging.Logger, io.StringIO]]]:
    """A logger whose lines land in a string, in a context of its own."""
    logger, stream = logging.getLogger("tests.lines"), io.StringIO()
    handler = logging.StreamHandler(stream)
    logger.propagate = False
    logger.addHandler(handler)

    def with_format(formatter: logging.Formatter) -> tuple[logging.Logger, io.StringIO]:
        handler.setFormatter(formatter)
        return logger, stream

    yield with_format
    logger.removeHandler(handler)
    logger.propagate = True


def in_own_context(work: Callable[[], None]) -> None:
    """Ids that ``work`` binds are gone afterwards."""
    contextvars.copy_context().run(work)


def test_a_json_line_has_the_ids_and_the_fields(lines: Any) -> None:
    logger, stream = lines(JsonLines())

    def work() -> None:
        bind_request("req_1")
        bind_job("job_2")
        bind_trace("0af7")
        logger.warning("job %s", "finished", extra={"fields": {"wall_s": 0.5, "size": "1x1"}})

    in_own_context(work)
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": "tests.lines",
        "message": "job finished",
        "request_id": "req_1",
        "job_id": "job_2",
        "trace_id": "0af7",
        "wall_s": 0.5,
        "size": "1x1",
    }


def test_without_ids_there_are_none(lines: Any) -> None:
    logger, stream = lines(JsonLines())
    logger.warning("x")
    assert json.loads(stream.getvalue()).keys() == {"time", "level", "logger", "message"}


def test_fields_do_not_take_the_place_of_what_every_line_has(lines: Any) -> None:
    logger, stream = lines(JsonLines())
    logger.warning("x", extra={"fields": {"level": "harmless", "message": "y"}})
    line = json.loads(stream.getvalue())
    assert (line["level"], line["message"]) == ("warning", "x")


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()])
@pytest.mark.parametrize("value", ["two\nlines", "\udcff", 2**70, object(), {1: "x"}, 'say "hi"', "", None, "a=b"])
def test_no_value_breaks_a_line(lines: Any, formatter: logging.Formatter, value: object) -> None:
    logger, stream = lines(formatter)
    logger.warning("x", extra={"fields": {"value": value}})
    assert stream.getvalue().count("\n") == 1
    if isinstance(formatter, JsonLines):
        assert "value" in json.loads(stream.getvalue())


def test_an_exception_stays_on_its_json_line(lines: Any) -> None:
    logger, stream = lines(JsonLines())
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("job failed")
    assert stream.getvalue().count("\n") == 1
    assert "ValueError: broken" in json.loads(stream.getvalue())["exception"]


def test_a_text_line_ends_with_fields_and_ids(lines: Any) -> None:
    logger, stream = lines(TextLines())

    def work() -> None:
        bind_request("req_1")
        logger.warning("job finished", extra={"fields": {"model": "sketch", "params": {"steps": 3}, "told": "so so"}})

    in_own_context(work)
    assert stream.getvalue().partition(" ")[2].partition(" ")[2] == (
        'WARNING tests.lines: job finished model=sketch params={"steps": 3} told="so so" [req_1]\n'
    )


async def test_tasks_know_what_they_were_started_for_and_nothing_of_each_other() -> None:
    heard: dict[str, str] = {}

    async def job(name: str) -> None:
        bind_job(f"job_{name}")
        await asyncio.sleep(0)
        heard[name] = TextLines().format(logging.makeLogRecord({"msg": "x"})).partition("[")[2]

    async def request(name: str) -> None:
        bind_request(f"req_{name}")
        await asyncio.create_task(job(name))

    await asyncio.gather(request("a"), request("b"))
    assert heard == {"a": "req_a job_a]", "b": "req_b job_b]"}


def test_a_line_about_a_request_tells_what_was_asked_and_no_words_of_the_clients() -> None:
    fields = request_fields(REQUEST, prompts=False)
    assert fields == {
        "key": "key_1",
        "model": "sketch",
        "operation": "edit",
        "size": "256x128",
        "n": 2,
        "seed": 7,
        "inputs": 1,
        "format": "webp",
        "params": {
            "num_inference_steps": 12,
            "guidance_scale": 2.5,
            "scheduler": "euler",
            "lora": [{"path": "owner/name", "scale": 0.5}],
        },
    }
    assert not {"garden", "weeds", "baroque"} & set(json.dumps(fields).replace('"', " ").split())


def test_prompts_are_logged_where_the_operator_wants_them() -> None:
    fields = request_fields(REQUEST, prompts=True)
    assert fields["prompt"] == "a secret garden"
    assert fields["params"]["negative_prompt"] == "weeds"  # type: ignore[index]


@contextmanager
def bare_root(*handlers: logging.Handler) -> Iterator[logging.Logger]:
    """A root logger as a fresh process has it; not a fixture, since pytest puts handlers on it before a test runs."""
    root = logging.RootLogger(logging.WARNING)
    root.handlers = list(handlers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging, "root", root)
        yield root


@pytest.mark.parametrize(("log_format", "formatter"), [("json", JsonLines), ("text", TextLines)])
def test_the_settings_decide_format_and_level(log_format: str, formatter: type[logging.Formatter]) -> None:
    with bare_root() as root:
        configure(load_settings(None, {"log_format": log_format, "log_level": "error"}))
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    assert handler.stream is sys.stderr
    assert isinstance(handler.formatter, formatter)
    assert root.level == logging.ERROR


def test_whoever_has_set_logging_up_already_keeps_it() -> None:
    mine = logging.NullHandler()
    with bare_root(mine) as root:
        configure(load_settings(None, {"log_format": "json"}))
    assert root.handlers == [mine]


@pytest.mark.parametrize(("log_level", "told"), [("info", False), ("debug", True)])
def test_addresses_that_are_called_are_told_only_when_debugging(log_level: str, told: bool, tmp_path: Path) -> None:
    code = f"""
import logging
from limner.config import load_settings
from limner.logs import configure
configure(load_settings(None, {{"log_level": "{log_level}"}}))
for name in ("httpx2", "httpx"):
    logging.getLogger(name).info("HTTP Request: POST https://me:secret@host/v1")
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ran.stderr.count("secret") == (2 if told else 0)


def test_the_web_servers_own_lines_look_like_ours(tmp_path: Path) -> None:
    code = """
import asyncio, logging, uvicorn
from limner.config import load_settings
from limner.logs import configure
configure(load_settings(None, {"log_format": "json"}))
async def app(scope, receive, send):
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": message["type"] + ".complete"})
    await send({"type": "lifespan.shutdown.complete"})
server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
async def main():
    asyncio.get_running_loop().call_later(0.3, setattr, server, "should_exit", True)
    await server.serve()
asyncio.run(main())
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    assert {line["logger"] for line in lines} == {"uvicorn.error"}
    assert any("running on http://127.0.0.1" in line["message"] for line in lines)
