"""Whether a server asks for keys, as it starts and while it runs."""

import stat
from pathlib import Path

import pytest

from limner.accounts import SCOPES, Door, Keyring, NewKey, door, is_loopback, open_keyring, prepare
from limner.accounts.door import load_pepper
from limner.config import Settings, load_settings
from limner.errors import InvalidRequest
from limner.store import Store
from tests.fakes import until


def settings(tmp_path: Path, host: str = "127.0.0.1", **chosen: object) -> Settings:
    return load_settings(None, {"data": tmp_path, "host": host, **chosen})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST"])
def test_this_machine_alone_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "localhost.example.org"])
def test_other_addresses_are_not(host: str) -> None:
    assert not is_loopback(host)


async def test_on_loopback_a_server_without_keys_is_open(store: Store, keyring: Keyring, tmp_path: Path) -> None:
    assert await prepare(store, keyring, settings(tmp_path)) == Door(required=False)
    assert await store.keys() == ()


async def test_on_loopback_a_key_that_exists_is_asked_for(store: Store, keyring: Keyring, tmp_path: Path) -> None:
    await keyring.create(NewKey("alice"))
    assert await prepare(store, keyring, settings(tmp_path)) == Door(required=True)


async def test_a_running_server_asks_once_a_key_was_made_elsewhere(
    store: Store, keyring: Keyring, tmp_path: Path
) -> None:
    await prepare(store, keyring, settings(tmp_path))
    await Keyring(store, bytes(32)).create(NewKey("alice"))
    assert not keyring.required
    await keyring.refresh()
    assert keyring.required


async def test_a_running_server_asks_at_once_for_a_key_made_by_itself(
    store: Store, keyring: Keyring, tmp_path: Path
) -> None:
    await prepare(store, keyring, settings(tmp_path))
    await keyring.create(NewKey("alice"))
    assert keyring.required


async def test_revoking_the_last_key_does_not_open_the_server(store: Store, keyring: Keyring, tmp_path: Path) -> None:
    _, row = await keyring.create(NewKey("alice"))
    await keyring.revoke(row.id)
    again = Keyring(store, bytes(32))
    assert await prepare(store, again, settings(tmp_path)) == Door(required=True)


@pytest.mark.parametrize(
    ("host", "chosen"), [("0.0.0.0", "auto"), ("::", "auto"), ("10.0.0.1", "no"), ("127.0.0.1", "no")]
)
async def test_elsewhere_or_when_told_a_server_makes_its_first_key(
    store: Store, keyring: Keyring, tmp_path: Path, host: str, chosen: str
) -> None:
    made = await prepare(store, keyring, settings(tmp_path, host, open=chosen))
    assert made.required
    assert made.fresh is not None
    caller = await keyring.authenticate(made.fresh)
    assert (caller.name, caller.scopes) == ("first", frozenset(SCOPES))
    again = await prepare(store, keyring, settings(tmp_path, host, open=chosen))
    assert again == Door(required=True)  # the key is shown once
    assert len(await store.keys()) == 1


async def test_with_nothing_but_revoked_keys_there_is_a_new_one(store: Store, keyring: Keyring, tmp_path: Path) -> None:
    _, row = await keyring.create(NewKey("alice"))
    await keyring.revoke(row.id)
    assert (await prepare(store, keyring, settings(tmp_path, "0.0.0.0"))).fresh is not None


async def test_told_to_be_open_a_server_asks_for_nothing(store: Store, keyring: Keyring, tmp_path: Path) -> None:
    await keyring.create(NewKey("alice"))
    assert await prepare(store, keyring, settings(tmp_path, "0.0.0.0", open="yes")) == Door(required=False)


def test_before_anybody_decided_a_keyring_asks_for_keys(keyring: Keyring) -> None:
    assert keyring.required


def test_the_pepper_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    pepper = load_pepper(settings(tmp_path))
    assert len(pepper) == 32
    assert load_pepper(settings(tmp_path)) == pepper
    assert stat.S_IMODE((tmp_path / "key-pepper").stat().st_mode) == 0o600


def test_the_setting_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_SECRET", "0f" * 32)
    pepper = load_pepper(settings(tmp_path))
    assert pepper == load_pepper(settings(tmp_path / "another machine"))
    monkeypatch.setenv("LIMNER_SECRET", "0e" * 32)
    assert pepper != load_pepper(settings(tmp_path))
    assert not (tmp_path / "key-pepper").exists()


def test_a_damaged_pepper_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "key-pepper").write_bytes(b"short")
    with pytest.raises(InvalidRequest, match="key-pepper does not hold 32 bytes"):
        load_pepper(settings(tmp_path))


@pytest.mark.parametrize("wrong", ["hunter2", "0f" * 31, "0f" * 32 + "0", "zz" * 32])
def test_a_pepper_that_is_none_is_refused_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("LIMNER_SECRET", wrong)
    with pytest.raises(InvalidRequest, match=r"secret: .*openssl rand -hex 32") as caught:
        settings(tmp_path)
    assert wrong not in caught.value.message
    assert wrong not in str(caught.value.__cause__)


def test_the_pepper_is_not_shown_with_the_settings(tmp_path: Path) -> None:
    assert "0f0f" not in repr(settings(tmp_path, secret="0f" * 32))


async def test_an_open_keyring_keeps_itself_up_to_date(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "REFRESH_S", 0.01)
    async with open_keyring(store, settings(tmp_path)) as running:
        await prepare(store, running, settings(tmp_path))
        secret, row = await Keyring(store, load_pepper(settings(tmp_path))).create(NewKey("alice"))
        await until(lambda: running.required)
        await running.authenticate(secret)
    (kept,) = await store.keys()
    assert kept.id == row.id
    assert kept.last_used_at_s is not None  # written down at the end


async def test_a_database_that_is_away_for_a_while_ends_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(door, "REFRESH_S", 0.01)
    away = True

    async def has_keys() -> bool:
        if away:
            raise ConnectionError("away")
        return True

    monkeypatch.setattr(store, "has_keys", has_keys)
    async with open_keyring(store, settings(tmp_path)) as running:
        running.demand = "once made"
        await until(lambda: "away" in caplog.text)
        assert not running.required
        away = False
        await until(lambda: running.required)
