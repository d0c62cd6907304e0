"""limner keys and limner usage, which work on the database itself."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from limner.accounts import Caller, Keyring
from limner.accounts.door import load_pepper
from limner.cli.exits import ExitCode
from limner.config import load_settings
from limner.errors import Unauthorized
from limner.store import Completion, NewJob, Quota, Store, open_store
from tests.cli.conftest import Run

T = TypeVar("T")


def on_store(directory: Path, work: Callable[[Store], Awaitable[T]]) -> T:
    """What a server on the same data directory would see."""

    async def go() -> T:
        async with open_store(f"sqlite:///{directory / 'limner.db'}") as store:
            return await work(store)

    return asyncio.run(go())


def caller(directory: Path, secret: str) -> Caller:
    settings = load_settings(None, {"data": directory})
    return on_store(directory, lambda store: Keyring(store, load_pepper(settings)).authenticate(secret))


def test_a_key_is_printed_alone_and_once(run: Run, tmp_path: Path) -> None:
    ran = run("keys", "create", "alice")
    secret = ran.out.removesuffix("\n")
    assert ran.code == ExitCode.OK
    assert len(secret) == 56
    assert "'alice' may generate, read; the key is shown this once" in ran.err
    assert secret not in ran.err
    assert caller(tmp_path / "data", secret).scopes == {"generate", "read"}
    assert secret[13:] not in run("keys", "list").out + run("keys", "list", "--json").out


def test_every_option_counts(run: Run, tmp_path: Path) -> None:
    options = ["--scope", "read", "--scope", "admin", "--model", "sketch", "--model", "Qwen/*", "--local-only"]
    limits = ["--rate", 30, "--concurrency", 2, "--credits", 1.5, "--priority", -7]
    secret = run("keys", "create", "bob", *options, *limits, "--data", tmp_path / "d").out.strip()
    made = caller(tmp_path / "d", secret)
    assert made == Caller(
        key_id=made.key_id,
        name="bob",
        scopes=frozenset(("read", "admin")),
        models=("sketch", "Qwen/*"),
        local_only=True,
        priority=-7,
        quota=Quota(30, 2),
        metered=True,
    )
    (listed,) = json.loads(run("keys", "list", "--json", "--data", tmp_path / "d").out)
    assert listed.pop("created_at") == pytest.approx(time.time(), abs=60)
    assert listed == {
        "id": made.key_id,
        "name": "bob",
        "prefix": secret[:12],
        "scopes": ["admin", "read"],
        "models": ["sketch", "Qwen/*"],
        "local_only": True,
        "priority": -7,
        "jobs_per_minute": 30,
        "concurrency": 2,
        "credits": 1.5,
        "reserved": 0.0,
        "last_used_at": None,
        "revoked_at": None,
    }


def test_the_list_is_a_table(run: Run) -> None:
    assert "there are no keys; make one with: limner keys create NAME" in run("keys", "list").err
    first = run("keys", "create", "alice").out[:12]
    second = run("keys", "create", "bob", "--rate", 5, "--credits", 0.25, "--local-only").out[:12]
    lines = run("keys", "list").out.splitlines()
    ids = [row["id"] for row in json.loads(run("keys", "list", "--json").out)]
    assert (lines[0].split()[0], lines[0].split()[-1]) == ("prefix", "id")
    assert lines[1].split() == [first, "alice", "generate,read", "*", "-", "-", "-", "never", "active", ids[0]]
    kept_to = ["generate,read", "*", "local", "5", "-", "0.25", "never", "active"]
    assert lines[2].split() == [second, "bob", *kept_to, ids[1]]


@pytest.mark.parametrize("by", ["name", "prefix", "bare prefix", "id", "key"])
def test_a_key_is_revoked_by_any_of_its_names(run: Run, tmp_path: Path, by: str) -> None:
    run("keys", "create", "other")
    secret = run("keys", "create", "alice").out.strip()
    key_id = caller(tmp_path / "data", secret).key_id
    names = {"name": "alice", "prefix": secret[:12], "bare prefix": secret[4:12], "id": key_id, "key": secret}
    ran = run("keys", "revoke", names[by])
    assert (ran.code, ran.out) == (ExitCode.OK, "")
    assert f"{key_id} 'alice' is revoked" in ran.err
    with pytest.raises(Unauthorized, match="revoked"):
        caller(tmp_path / "data", secret)
    states = {row["name"]: row["revoked_at"] for row in json.loads(run("keys", "list", "--json").out)}
    assert states == {"other": None, "alice": pytest.approx(time.time(), abs=60)}


def test_credits_are_added_and_taken(run: Run) -> None:
    run("keys", "create", "alice")
    assert "'alice' has 2.5 credits" in run("keys", "grant", "alice", 2.5).err
    assert "'alice' has 2.499999 credits" in run("keys", "grant", "alice", "--", -0.000001).err
    assert "'alice' has 0.499999 credits" in run("keys", "grant", "alice", -2).err
    assert "'alice' has 0.249999 credits" in run("keys", "grant", "alice", "-.25").err


def test_a_revoked_key_is_granted_nothing(run: Run) -> None:
    run("keys", "create", "alice")
    run("keys", "revoke", "alice")
    ran = run("keys", "grant", "alice", 5)
    assert ran.code == ExitCode.INVALID
    assert "'alice' is revoked" in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", ""], "name ''"),
        (["create", "a\nb"], r"name 'a\\nb'"),
        (["create", "\udcff"], r"name '\\udcff'"),
        (["create", "x", "--scope", "write"], "scopes: 'write'; allowed is one or more of generate, read, admin"),
        (["create", "x", "--model", " "], "' ' is no model's name"),
        (["create", "x", "--rate", "0"], "'--rate'"),
        (["create", "x", "--concurrency", "-1"], "'--concurrency'"),
        (["create", "x", "--credits", "nan"], "'--credits'"),
        (["create", "x", "--credits", "-1"], "'--credits'"),
        (["create", "x", "--credits", "1e10"], "'--credits'"),
        (["create", "x", "--priority", "101"], "'--priority'"),
        (["revoke", "carol"], "no such key: 'carol'"),
        (["grant", "carol", "1"], "no such key: 'carol'"),
        (["grant", "carol", "many"], "'CREDITS'"),
        (["list", "--config", "none.toml"], "none.toml"),
        ([], "Missing command"),
    ],
)
def test_wrong_usage_is_one_line(run: Run, arguments: list[str], said: str) -> None:
    ran = run("keys", *arguments)
    assert (ran.code, ran.out) == (ExitCode.INVALID, "")
    assert said.replace(r"\\", "\\") in ran.err
    assert ran.err.count("\n") == 1


def test_two_keys_of_one_name_are_told_apart_by_their_ids(run: Run, tmp_path: Path) -> None:
    ids = [caller(tmp_path / "data", run("keys", "create", "alice").out.strip()).key_id for _ in range(2)]
    ran = run("keys", "revoke", "alice")
    assert ran.code == ExitCode.INVALID
    assert all(key_id in ran.err for key_id in ids)


def test_a_database_in_the_servers_memory_is_out_of_reach(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_DATABASE", "sqlite://")
    ran = run("keys", "create", "alice")
    assert (ran.code, ran.out) == (ExitCode.INVALID, "")
    assert "the setting database is sqlite://" in ran.err


def test_the_settings_file_names_the_database(run: Run, tmp_path: Path) -> None:
    (tmp_path / "limner.toml").write_text(f'database = "sqlite:///{tmp_path}/elsewhere.db"\n')
    assert run("keys", "create", "alice", "--config", "limner.toml").code == ExitCode.OK
    assert (tmp_path / "elsewhere.db").exists()
    assert not (tmp_path / "data" / "limner.db").exists()


@pytest.mark.parametrize("name", ["a?b", "a#b", "a%20b", "ü"])
def test_the_database_lies_in_the_data_directory_however_that_is_called(run: Run, tmp_path: Path, name: str) -> None:
    assert run("keys", "create", "alice", "--data", tmp_path / name).code == ExitCode.OK
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "limner.db").exists()
    assert run("usage", "--data", tmp_path / name).code == ExitCode.OK


async def finished(store: Store, owner: str, model: str, cost_micro: int) -> None:
    now_s = time.time()
    job = NewJob(f"job_{owner}_{model}", owner, "generate", model, {}, (), now_s, now_s + 9, 1.0)
    await store.enqueue(job, worker="w", lease_until_s=now_s + 9, queue_limit=9)
    assert await store.finish(job.id, 1, Completion({}, (), cost_micro, 1.25, now_s))


def test_usage_is_a_table_with_a_total(run: Run, tmp_path: Path) -> None:
    secret = run("keys", "create", "alice", "--credits", 100).out.strip()
    key_id = caller(tmp_path / "data", secret).key_id
    on_store(tmp_path / "data", lambda store: finished(store, key_id, "sketch", 12_500_000))
    on_store(tmp_path / "data", lambda store: finished(store, "", "flux", 1))
    lines = [line.split() for line in run("usage").out.splitlines()]
    assert lines == [
        ["key", "model", "jobs", "pictures", "device", "seconds", "credits"],
        ["-", "flux", "1", "0", "1.2", "0.000001"],
        ["alice", "sketch", "1", "0", "1.2", "12.5"],
        ["total", "2", "0", "2.5", "12.500001"],
    ]
    report = json.loads(run("usage", "--json", "--key", "alice").out)
    assert report["balance"] == {"credits": 87.5, "reserved": 0.0}
    assert [entry["model"] for entry in report["data"]] == ["sketch"]
    past = run("usage", "--since", "2020-01-01", "--until", "2020-02-01").out.splitlines()
    assert past[-1].split() == ["total", "0", "0", "0.0", "0"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--since", "yesterday"], "since 'yesterday' is no time"),
        (["--until", "\udcff"], "until '\\udcff' is no time"),
        (["--key", "carol"], "there is no database at"),
    ],
)
def test_wrong_usage_of_usage_is_one_line(run: Run, arguments: list[str], said: str) -> None:
    ran = run("usage", *arguments)
    assert (ran.code, ran.out) == (ExitCode.INVALID, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1
