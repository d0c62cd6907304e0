import asyncio
import hashlib
import hmac
import multiprocessing
import stat
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from limner.blobs import Blobs, media_type_of
from limner.blobs.links import LinkSigner, load_secret
from limner.errors import Forbidden, NotFound

NOON = datetime(2026, 3, 9, 12, tzinfo=UTC).timestamp()
DAY_S = 86_400


class Clock:
    def __init__(self, now_s: float = NOON) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def blobs(tmp_path: Path, clock: Clock) -> Blobs:
    return Blobs(tmp_path / "data", clock=clock)


def files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "data" / "files").rglob("*") if path.is_file()]


async def test_what_is_put_is_got_under_its_day_and_hash(blobs: Blobs) -> None:
    key = await blobs.put(b"picture", "image/png")
    assert key == f"2026/03/09/{hashlib.sha256(b'picture').hexdigest()}.png"
    assert await blobs.get(key) == b"picture"
    assert await blobs.size(key) == 7
    assert await blobs.get_range(key, 1, 4) == b"ict"
    assert media_type_of(key) == "image/png"


async def test_the_same_content_on_a_day_is_one_object(blobs: Blobs, clock: Clock, tmp_path: Path) -> None:
    keys = set(await asyncio.gather(*(blobs.put(b"same", "image/webp") for _ in range(8))))
    assert len(keys) == len(files(tmp_path)) == 1
    clock.now_s += DAY_S
    assert await blobs.put(b"same", "image/webp") not in keys
    assert len(files(tmp_path)) == 2


async def test_many_megabytes_are_stored_whole(blobs: Blobs) -> None:
    data = bytes(range(256)) * 4096 * 12
    assert await blobs.get(await blobs.put(data, "image/png")) == data


async def test_a_store_by_url_keeps_its_secret_in_the_data_directory(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "data", location="memory:///")
    assert await blobs.get(await blobs.put(b"x", "image/jpeg")) == b"x"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["link-secret"]


GOOD = "2026/03/09/" + "a" * 64 + ".png"


@pytest.mark.parametrize(
    "key",
    [
        GOOD,
        "",
        "/",
        "..",
        "../link-secret",
        "2026/03/09/../../../../link-secret",
        "2026/03/09/../" + "a" * 61 + ".png",
        "/" + GOOD,
        GOOD + "\n",
        GOOD + "/",
        GOOD + "\0",
        GOOD.replace("a", "A"),
        GOOD.replace("a", "g"),
        GOOD.replace("2026", "\u0662\u0660\u0662\u0666"),
        GOOD.replace("/", "\\"),
        GOOD.replace("/", "%2f"),
        GOOD.replace("png", "html"),
        GOOD.replace(".png", ""),
        "link-secret",
    ],
)
async def test_what_was_never_stored_is_not_found(blobs: Blobs, key: str) -> None:
    for attempt in (lambda: blobs.get(key), lambda: blobs.get_range(key, 0, 1), lambda: blobs.size(key)):
        with pytest.raises(NotFound):
            await attempt()


async def test_deleting_twice_is_no_error(blobs: Blobs) -> None:
    key = await blobs.put(b"x", "image/png")
    await blobs.delete(key)
    await blobs.delete(key)
    with pytest.raises(NotFound):
        await blobs.get(key)
    with pytest.raises(NotFound):
        await blobs.delete("../link-secret")


async def test_a_sweep_removes_whole_days_and_nothing_else(blobs: Blobs, clock: Clock, tmp_path: Path) -> None:
    keys = []
    for _ in range(4):
        keys.append(await blobs.put(b"x", "image/png"))
        clock.now_s += DAY_S
    foreign = tmp_path / "data" / "files" / "notes.txt"
    foreign.write_text("the owner's")
    assert await blobs.sweep(date(2026, 3, 11)) == 2
    assert await blobs.sweep(date(2026, 3, 11)) == 0
    for key in keys[:2]:
        with pytest.raises(NotFound):
            await blobs.get(key)
    for key in keys[2:]:
        assert await blobs.get(key) == b"x"
    assert foreign.exists()
    assert not (tmp_path / "data" / "files" / "2026" / "03" / "09").exists()


def query_of(query: str) -> tuple[str, str]:
    expires, signature = query.split("&")
    return expires.removeprefix("expires="), signature.removeprefix("signature=")


def test_a_signed_link_opens_until_it_expires(blobs: Blobs, clock: Clock) -> None:
    expires, signature = query_of(blobs.sign(GOOD, NOON + 60.9))
    assert expires == str(int(NOON) + 60)
    blobs.verify(GOOD, expires, signature)
    clock.now_s += 60
    with pytest.raises(Forbidden, match="expired"):
        blobs.verify(GOOD, expires, signature)


@pytest.mark.parametrize(
    ("key", "expires", "signature"),
    [
        (GOOD.replace("a", "b"), None, None),
        (GOOD + "\n", None, None),
        (GOOD, "99999999999", None),
        (GOOD, "", None),
        (GOOD, "-1", None),
        (GOOD, "soon", None),
        (GOOD, f"+{int(NOON) + 60}", None),
        (GOOD, f"{int(NOON) + 60}.0", None),
        (GOOD, None, ""),
        (GOOD, None, "0" * 64),
        (GOOD, None, "\u00e4" * 64),
        (GOOD, None, "\udc80"),
    ],
)
def test_a_changed_link_is_forbidden(blobs: Blobs, key: str, expires: str | None, signature: str | None) -> None:
    good_expires, good_signature = query_of(blobs.sign(GOOD, NOON + 60))
    with pytest.raises(Forbidden, match="signature"):
        blobs.verify(
            key,
            good_expires if expires is None else expires,
            good_signature if signature is None else signature,
        )


def test_links_outlive_the_process_and_no_other_server_signs_them(tmp_path: Path, clock: Clock) -> None:
    query = query_of(Blobs(tmp_path / "a", clock=clock).sign(GOOD, NOON + 60))
    Blobs(tmp_path / "a", clock=clock).verify(GOOD, *query)
    with pytest.raises(Forbidden):
        Blobs(tmp_path / "b", clock=clock).verify(GOOD, *query)


def test_the_secret_is_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret"
    secret = load_secret(path)
    assert len(secret) == 32
    assert load_secret(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]


def _load(path: Path) -> bytes:
    return load_secret(path)


def test_processes_that_race_for_the_secret_agree(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        for attempt in range(10):
            assert len(set(pool.map(_load, [tmp_path / str(attempt)] * 8, chunksize=1))) == 1


def test_a_damaged_secret_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(ValueError, match="secret"):
        load_secret(tmp_path / "secret")


def test_a_signature_is_hmac_sha256_over_key_and_expiry() -> None:
    expected = hmac.new(bytes(32), b"k\n7", hashlib.sha256).hexdigest()
    assert LinkSigner(bytes(32)).sign("k", 7) == f"expires=7&signature={expected}"
