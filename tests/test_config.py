"""Settings from file, environment and command line."""

from pathlib import Path

import pytest

from limner.config import Settings, load_settings
from limner.errors import InvalidRequest


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "limner.toml"
    path.write_text(text)
    return path


def test_command_line_beats_environment_beats_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, 'port = 1\nhost = "::1"\nlanes = 3\n')
    monkeypatch.setenv("LIMNER_PORT", "2")
    monkeypatch.setenv("LIMNER_HOST", "::2")
    settings = load_settings(path, {"port": 4, "host": None})
    assert (settings.port, settings.host, settings.lanes) == (4, "::2", 3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prot = 1", "did you mean 'port'"),
        ("zzz = 1", "known settings: models"),
        ("port = 'x'", "port: "),
        ("port = 70000", "65535"),
        ("queue_limit = 0", "queue_limit"),
        ("log_level = 'loud'", "log_level"),
        ("port = ", "not valid TOML"),
        ("host = ''", "host: "),
        ("data = ''", "data: name a directory"),
        ("fetch_allow = ['nonsense']", "fetch_allow: 'nonsense' does not appear to be an IPv4 or IPv6 network"),
        ("fetch_allow = ['10.0.0.1/8']", "fetch_allow: 10.0.0.1/8 has host bits set"),
        ("public_url = 'not a url'", "public_url: not an http(s) URL"),
        ("public_url = 'ftp://x'", "public_url: not an http(s) URL"),
        ("public_url = 'http://'", "public_url: not an http(s) URL"),
        ("public_url = 'http://['", "public_url: not an http(s) URL"),
        ("public_url = 'http://x:99999'", "public_url: not an http(s) URL"),
        ("public_url = 'http://x/?a=b'", "public_url: not an http(s) URL"),
        ("device = 'tpu9'", "device: unknown device; allowed: auto, cpu, cuda, cuda:N or mps (got 'tpu9')"),
        ("device = 'cpu:0'", "device: unknown device"),
        ("max_timeout_s = 60", "default_timeout_s (180) is larger than max_timeout_s (60)"),
        ("models = 3", "models: "),
        ("models = ['a', '']", "models: name a model (got ['a', ''])"),
        ("credits_per_device_s = inf", "credits_per_device_s: "),
    ],
)
def test_a_bad_file_is_refused_by_key(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        load_settings(write(tmp_path, text))
    assert told in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "public_url = 'https://images.example.org/limner/'",
        "public_url = 'http://[::1]:8000'",
        "device = 'cuda:1'",
        "fetch_allow = ['10.0.0.0/8', '::1', 'fd00::/8']",
        "default_timeout_s = 30\nmax_timeout_s = 30",
    ],
)
def test_what_is_well_formed_is_taken(tmp_path: Path, text: str) -> None:
    assert load_settings(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "models"),
    [
        ("sketch", ("sketch",)),
        ("sketch, a/b,", ("sketch", "a/b")),
        ('["sketch", "a,b"]', ("sketch", "a,b")),
        ("", ()),
    ],
)
def test_lists_in_the_environment_are_separated_by_commas_or_json(
    monkeypatch: pytest.MonkeyPatch, text: str, models: tuple[str, ...]
) -> None:
    monkeypatch.setenv("LIMNER_MODELS", text)
    assert load_settings().models == models


def test_a_broken_list_in_the_environment_says_how_to_write_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_MODELS", '["sketch"')
    with pytest.raises(InvalidRequest, match='models: not a list; write it as a,b or as JSON: \\["a", "b"\\]'):
        load_settings()


def test_a_missing_file_and_an_unknown_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequest, match="cannot read"):
        load_settings(tmp_path / "none.toml")
    monkeypatch.setenv("LIMNER_PROT", "1")
    with pytest.raises(InvalidRequest, match="did you mean 'port'"):
        load_settings()


def test_what_kubernetes_says_of_a_service_called_limner_is_no_riddle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_PORT", "tcp://10.0.0.1:8000")
    monkeypatch.setenv("LIMNER_PORT_8000_TCP", "tcp://10.0.0.1:8000")
    monkeypatch.setenv("LIMNER_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(InvalidRequest, match="set enableServiceLinks: false"):
        load_settings()


def test_client_variables_are_not_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_API_KEY", "k")
    monkeypatch.setenv("LIMNER_SERVER", "http://localhost")
    assert isinstance(load_settings(), Settings)


def test_data_may_lie_below_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert load_settings(None, {"data": "~/x"}).data == Path("/home/me/x")
    assert load_settings(write(tmp_path, "data = '~/x'")).data == Path("/home/me/x")
    monkeypatch.setenv("LIMNER_DATA", "~/x")
    assert load_settings().data == Path("/home/me/x")


def test_settings_are_frozen_and_described() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().port = 1
    assert all(field.description for field in Settings.model_fields.values())
