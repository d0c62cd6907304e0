"""``limner jobs`` at a server and in a database: what is asked, what is printed, how it ends."""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from limner.cli.exits import ExitCode
from limner.store import Completion, ImageRow, NewJob, Store, open_store
from tests.cli.conftest import Run, Scripted

JOB: dict[str, Any] = {
    "id": "job_1",
    "object": "job",
    "status": "finished",
    "position": None,
    "eta_s": None,
    "progress": 1.0,
    "created_at": 1_795_270_000,
    "started_at": 1_795_270_001.125,
    "ended_at": 1_795_270_003.75,
    "operation": "generate",
    "model": "sketch",
    "effective": {"size": "128x128", "seed": 7, "seeds": [7, 8]},
    "warnings": [{"param": "size", "code": "unverified", "message": "sketch has practised 256x256"}],
    "error": None,
    "cost": {"credits": 0.25, "reserved_credits": 0, "device_s": 0.25},
    "result": {"data": [{"url": "http://host/v1/files/img_1_0?expires=1&signature=2"}]},
}
FAILED = JOB | {
    "id": "job_2",
    "status": "failed",
    "error": {"code": "timeout", "message": "too late"},
    "result": None,
    "started_at": None,
}


def page(*jobs: dict[str, Any], more: bool = False) -> dict[str, Any]:
    return {"object": "list", "data": list(jobs), "has_more": more}


def test_a_servers_jobs_are_a_line_each(run: Run, scripted: Scripted) -> None:
    scripted.answer(200, page(JOB, FAILED))
    ran = run("jobs", "list", "--server", scripted.url, "--api-key", "secret")
    head, first, second = ran.out.splitlines()
    assert " ".join(head.split()) == "id status operation model created took pictures credits error"
    assert " ".join(first.split()) == "job_1 finished generate sketch 2026-11-21 14:06:40 2.6 s 1 0.25"
    assert " ".join(second.split()) == "job_2 failed generate sketch 2026-11-21 14:06:40 0.25 timeout"
    ((path, headers, _),) = scripted.asked
    assert path == "/v1/jobs?limit=20"
    assert headers["authorization"] == "Bearer secret"


def test_what_is_to_be_listed_is_asked_for(run: Run, scripted: Scripted) -> None:
    scripted.answer(200, page(JOB))
    ran = run(
        "jobs", "list", "--status", "queued", "--status", "failed", "--model", "a/b", "--limit", 7, "--json",
        "--server", scripted.url,
    )  # fmt: skip
    assert [path for path, _, _ in scripted.asked] == ["/v1/jobs?limit=7&status=queued&status=failed&model=a%2Fb"]
    assert json.loads(ran.out) == [JOB]


def test_a_long_list_comes_in_pages(run: Run, scripted: Scripted) -> None:
    many = [JOB | {"id": f"job_{number}"} for number in range(100)]
    scripted.answer(200, page(*many, more=True))
    ran = run("jobs", "list", "--limit", 150, "--server", scripted.url)
    asked = [path for path, _, _ in scripted.asked]
    assert asked == ["/v1/jobs?limit=100", "/v1/jobs?limit=50&after=job_99"]
    assert len(ran.out.splitlines()) == 1 + 200  # the script gives a hundred each time


def test_no_jobs_leave_stdout_empty(run: Run, scripted: Scripted) -> None:
    scripted.answer(200, page())
    ran = run("jobs", "list", "--server", scripted.url)
    assert (ran.code, ran.out) == (ExitCode.OK, "")
    assert "no such jobs" in ran.err
    assert run("jobs", "list", "--json", "--server", scripted.url).out == "[]\n"


def test_one_job_is_shown_with_everything(run: Run, scripted: Scripted) -> None:
    scripted.answer(200, JOB)
    ran = run("jobs", "show", "job_1", "--server", scripted.url)
    shown = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert shown["status"] == "finished"
    assert shown["took"] == "2.6 s"
    assert shown["seed"] == "7"
    assert shown["warning"] == "sketch has practised 256x256"
    assert shown["picture"] == JOB["result"]["data"][0]["url"]
    assert "error" not in shown
    assert json.loads(run("jobs", "show", "job_1", "--json", "--server", scripted.url).out) == JOB


def test_a_failure_is_shown_with_its_reason(run: Run, scripted: Scripted) -> None:
    scripted.answer(200, FAILED)
    ran = run("jobs", "show", "job_2", "--server", scripted.url)
    assert "timeout: too late" in ran.out
    assert ran.code == ExitCode.OK


@pytest.mark.parametrize(("status", "code"), [("finished", 0), ("failed", 1), ("cancelled", 1)])
def test_waiting_asks_until_it_has_ended(run: Run, scripted: Scripted, status: str, code: int) -> None:
    scripted.answer(200, JOB | {"status": "running"})

    def end() -> None:
        while len(scripted.asked) < 2:
            time.sleep(0.01)
        scripted.answer(200, JOB | {"status": status})

    threading.Thread(target=end).start()
    ran = run("jobs", "show", "job_1", "--wait", "--server", scripted.url)
    assert ran.code == code
    assert [path for path, _, _ in scripted.asked][:2] == ["/v1/jobs/job_1", "/v1/jobs/job_1?wait=60"]
    assert status in ran.out


def test_cancelling_says_what_became_of_it(run: Run, scripted: Scripted) -> None:
    scripted.answer(200, JOB | {"status": "cancelled"})
    ran = run("jobs", "cancel", "job/1?x", "--server", scripted.url)
    assert (ran.code, ran.out) == (ExitCode.OK, "cancelled\n")
    assert scripted.deleted == ["/v1/jobs/job%2F1%3Fx"]


@pytest.mark.parametrize("command", [("list",), ("show", "job_1"), ("cancel", "job_1")])
def test_a_refusal_is_told_in_the_servers_words(run: Run, scripted: Scripted, command: tuple[str, ...]) -> None:
    scripted.refuse(404, "not_found", "no such job")
    ran = run("jobs", *command, "--server", scripted.url)
    assert (ran.code, ran.out, ran.err) == (ExitCode.INVALID, "", "limner: no such job\n")


@pytest.mark.parametrize("command", [("list",), ("show", "job_1"), ("cancel", "job_1")])
@pytest.mark.parametrize("body", [b"{}", b'{"object": "page"}', b"<html>"])
def test_an_answer_that_makes_no_sense_is_no_traceback(
    run: Run, scripted: Scripted, command: tuple[str, ...], body: bytes
) -> None:
    scripted.body = body
    ran = run("jobs", *command, "--server", scripted.url)
    assert (ran.code, ran.out) == (ExitCode.FAILED, "")
    assert "unexpected" not in ran.err


def test_a_status_that_does_not_exist_is_named(run: Run) -> None:
    ran = run("jobs", "list", "--status", "done")
    assert ran.code == ExitCode.INVALID
    assert "'done'" in ran.err
    assert "finished" in ran.err


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def in_store(data: Path, work: Callable[[Store], Awaitable[None]]) -> None:
    """Do ``work`` in the database of ``data``, as a server would."""

    async def opened() -> None:
        async with open_store(f"sqlite:///{data / 'limner.db'}") as store:
            await work(store)

    data.mkdir(exist_ok=True)
    asyncio.run(opened())


async def enqueue(store: Store, name: str, created_at_s: float, *, worker: str | None = None) -> None:
    job = NewJob(
        id=f"job_{name}",
        owner="key_1",
        operation="generate",
        model="sketch" if name != "other" else "large/model",
        request={"effective": {"size": "128x128", "seed": 7}},
        warnings=(),
        created_at_s=created_at_s,
        deadline_at_s=created_at_s + 1e9,
        weight_s=1.0,
    )
    await store.enqueue(job, worker=worker, lease_until_s=created_at_s + 1e9, queue_limit=100)


async def finish(store: Store, name: str, at_s: float) -> None:
    image = ImageRow(
        f"img_{name}_0", f"job_{name}", 0, "key_1", "2026/11/21/x.png", "image/png", 8, 8, 9, 7, at_s, at_s + 1e9
    )
    assert await store.finish(f"job_{name}", 1, Completion({}, (image,), 250_000, 0.25, at_s))


@pytest.fixture
def stored(data: Path) -> Path:
    """One job finished, one running, two queued, in this order."""

    async def fill(store: Store) -> None:
        await enqueue(store, "done", 1_795_270_000.0, worker="w")
        await finish(store, "done", 1_795_270_002.5)
        await enqueue(store, "runs", 1_795_270_010.0, worker="w")
        await enqueue(store, "waits", 1_795_270_020.0)
        await enqueue(store, "other", 1_795_270_030.0)

    in_store(data, fill)
    return data


def ids(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines()[1:]]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ((), ["job_other", "job_waits", "job_runs", "job_done"]),
        (("--limit", 2), ["job_other", "job_waits"]),
        (("--model", "sketch"), ["job_waits", "job_runs", "job_done"]),
        (("--status", "running", "--status", "finished"), ["job_runs", "job_done"]),
    ],
)
def test_without_a_server_the_database_is_read(
    run: Run, stored: Path, options: tuple[object, ...], found: list[str]
) -> None:
    assert ids(run("jobs", "list", *options, "--data", stored).out) == found
    assert ids(run("jobs", "list", *options).out) == found  # LIMNER_DATA


def test_what_was_drawn_is_counted_and_not_what_was_asked_for(run: Run, stored: Path) -> None:
    rows = {line.split()[0]: line.split() for line in run("jobs", "list").out.splitlines()[1:]}
    assert rows["job_done"][6:] == ["2.5", "s", "1", "0.25"]
    assert rows["job_waits"][6:] == []


def test_a_named_database_goes_before_a_server_of_the_environment(
    run: Run, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMNER_SERVER", "http://127.0.0.1:1")
    assert run("jobs", "list").code == ExitCode.UNREACHABLE
    assert len(ids(run("jobs", "list", "--data", stored).out)) == 4


def test_a_job_of_the_database_is_shown_with_its_pictures(run: Run, stored: Path) -> None:
    shown = dict(line.split(maxsplit=1) for line in run("jobs", "show", "job_done").out.splitlines())
    assert shown.items() >= {"status": "finished", "credits": "0.25", "picture": "img_done_0"}.items()
    job = json.loads(run("jobs", "show", "job_done", "--json").out)
    assert job["result"] == {"data": [{"id": "img_done_0", "key": "2026/11/21/x.png"}]}
    assert (job["owner"], job["attempt"], job["ended_at"]) == ("key_1", 1, 1_795_270_002.5)


def test_a_queued_job_of_the_database_knows_its_place(run: Run, stored: Path) -> None:
    assert json.loads(run("jobs", "show", "job_waits", "--json").out)["position"] == 0


def test_a_queued_job_of_the_database_is_cancelled_at_once(run: Run, stored: Path) -> None:
    assert run("jobs", "cancel", "job_waits").out == "cancelled\n"
    error = json.loads(run("jobs", "show", "job_waits", "--json").out)["error"]
    assert (error["code"], error["status"]) == ("cancelled", 499)


def test_a_running_job_of_the_database_is_asked_to_stop(run: Run, stored: Path) -> None:
    assert run("jobs", "cancel", "job_runs").out == "running\n"

    async def check(store: Store) -> None:
        assert (await store.get("job_runs")).cancel_requested

    in_store(stored, check)


def test_an_ended_job_of_the_database_stays_as_it_is(run: Run, stored: Path) -> None:
    assert run("jobs", "cancel", "job_done").out == "finished\n"


def test_waiting_looks_into_the_database_until_it_has_ended(run: Run, stored: Path) -> None:
    def end() -> None:
        time.sleep(0.5)
        in_store(stored, lambda store: finish(store, "runs", 1_795_270_012.0))

    thread = threading.Thread(target=end)
    thread.start()
    ran = run("jobs", "show", "job_runs", "--wait")
    thread.join()
    assert ran.code == ExitCode.OK
    assert "img_runs_0" in ran.out


@pytest.mark.parametrize("command", ["show", "cancel"])
def test_a_job_that_is_not_there_is_named(run: Run, stored: Path, command: str) -> None:
    ran = run("jobs", command, "job_x")
    assert ran.code == ExitCode.INVALID
    assert "job_x" in ran.err
