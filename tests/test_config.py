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
    ],
)
def test_a_bad_file_is_refused_by_key(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told.replace("(", r"\(")):
        load_settings(write(tmp_path, text))


def test_a_missing_file_and_an_unknown_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequest, match="cannot read"):
        load_settings(tmp_path / "none.toml")
    monkeypatch.setenv("LIMNER_PROT", "1")
    with pytest.raises(InvalidRequest, match="did you mean 'port'"):
        load_settings()


def test_client_variables_are_not_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_API_KEY", "k")
    monkeypatch.setenv("LIMNER_SERVER", "http://localhost")
    assert isinstance(load_settings(), Settings)


def test_settings_are_frozen_and_described() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().port = 1  # type: ignore[misc]
    assert all(field.description for field in Settings.model_fields.values())
