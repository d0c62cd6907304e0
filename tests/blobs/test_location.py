from pathlib import Path

import pytest

from limner.blobs import Blobs
from limner.blobs.location import open_place, reason_of
from limner.errors import InvalidRequest


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


def test_a_directory_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for location, path in (
        ("", tmp_path / "default"),
        (str(tmp_path / "a" / "b"), tmp_path / "a" / "b"),
        ("relative", tmp_path / "relative"),
        ("~/pictures", tmp_path / "home" / "pictures"),
        (f"file://{tmp_path}/with%20space", tmp_path / "with space"),
    ):
        place = open_place(location, tmp_path / "default")
        assert place.directory == path
        assert place.title == str(path)
        assert path.is_dir()
        assert not place.forgets


@pytest.mark.parametrize("location", ["s3://bucket/prefix", "s3://bucket", "gs://bucket/prefix"])
def test_a_remote_store_is_not_asked_before_it_is_used(location: str, tmp_path: Path) -> None:
    place = open_place(location, tmp_path / "default")
    assert place.title == location
    assert place.directory is None
    assert list(tmp_path.iterdir()) == []


def test_plain_http_is_spoken_only_where_the_environment_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "allow_http" not in (open_place("s3://bucket", tmp_path).store.client_options or {})  # type: ignore[union-attr]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio:9000")
    assert (open_place("s3://bucket", tmp_path).store.client_options or {})["allow_http"]  # type: ignore[union-attr]


async def test_memory_ends_with_the_process_and_touches_no_disk(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "data", location="memory://")
    assert await blobs.get(await blobs.put(b"x", "image/jpeg")) == b"x"
    assert (await blobs.check()).startswith("memory://: ")
    assert not (tmp_path / "data").exists()


def test_a_store_elsewhere_keeps_its_links_secret_in_the_data_directory(tmp_path: Path) -> None:
    Blobs(tmp_path / "data", location=str(tmp_path / "pictures"))
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["link-secret"]


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("s3://", "names none"),
        ("s3:/bucket", "names none"),
        ("gs:bucket", "names none"),
        ("ftp://host/path", "ftp: is not a kind"),
        ("https://host/path", "https: is not a kind"),
        ("postgresql://host/database", "postgresql: is not a kind"),
        ("s3://user:secret@bucket", "no credentials"),
        ("s3://bucket?region=x", "no credentials, query"),
        ("az://container", "Account must be specified"),
        ("file://host/path", "file: is not a kind"),
    ],
)
def test_what_is_no_place_is_refused_with_what_is_allowed(location: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Blobs(tmp_path, location=location)
    assert caught.value.param == "blobs"
    assert reason in caught.value.message
    assert "allowed: s3://bucket/prefix, gs://bucket/prefix" in caught.value.message
    assert "secret" not in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InvalidRequest, match=r"blobs: '.*file/pictures' cannot be used: .*Not a directory"):
        open_place(str(tmp_path / "file" / "pictures"), tmp_path)


def test_a_stores_error_is_cut_to_what_a_person_can_use() -> None:
    told = "Object at location k not found: <Error><Code>NoSuchBucket</Code><Message>No such\n bucket</Message></Error>"
    assert reason_of(Exception(f"{told}\n\nDebug source:\nNotFound {{")) == "No such bucket (NoSuchBucket)"
    assert reason_of(Exception("plain\n\nDebug source:\n...")) == "plain"
    assert reason_of(OSError()) == "OSError"
