"""limner doctor: what it prints, and what scripts can rely on."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from limner import doctor
from limner.cli.exits import ExitCode
from limner.config import Settings
from limner.doctor import Finding
from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def _quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_PORT", "0")
    monkeypatch.setenv("LIMNER_DEVICE", "cpu")


def test_a_line_a_check_and_exit_code_0(run: Run) -> None:
    ran = run("doctor")
    assert (ran.code, ran.err) == (ExitCode.OK, "")
    words = [line.split(maxsplit=2) for line in ran.out.splitlines()]
    assert {word[0] for word in words} <= {"ok", "warning"}
    assert list(dict.fromkeys(word[1] for word in words)) == [
        "python",
        "settings",
        "data",
        "disk",
        "clock",
        "database",
        "pictures",
        "device",
        "models",
        "helpers",
        "port",
    ]


def test_a_problem_says_what_to_do_and_ends_with_exit_code_1(run: Run) -> None:
    ran = run("doctor", "./nothing")
    assert ran.code == ExitCode.FAILED
    (line,) = [line for line in ran.out.splitlines() if line.startswith("problem")]
    message, _, advice = line.partition(" -> ")
    assert "'./nothing'" in message
    assert "limner models" in advice


def test_a_warning_is_no_failure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_DATABASE", "sqlite://")
    ran = run("doctor")
    assert (ran.code, "warning  settings  the database is in memory" in ran.out) == (ExitCode.OK, True)


def test_as_json(run: Run) -> None:
    ran = run("doctor", "--json", "--data", "elsewhere", "./nothing")
    assert ran.code == ExitCode.FAILED
    findings = {finding["check"]: finding for finding in json.loads(ran.out)}
    assert findings["models"].keys() == {"level", "message", "advice", "check"}
    assert findings["models"]["level"] == "problem"
    assert "elsewhere" in findings["data"]["message"]


@pytest.mark.parametrize("as_json", [False, True])
def test_settings_that_cannot_be_read_are_a_finding_too(run: Run, tmp_path: Path, as_json: bool) -> None:
    (tmp_path / "limner.toml").write_text("prot = 9000\n")
    ran = run("doctor", "--config", "limner.toml", *(["--json"] if as_json else []))
    assert ran.code == ExitCode.FAILED
    if as_json:
        assert [finding["check"] for finding in json.loads(ran.out)] == ["settings"]
    else:
        assert "did you mean 'port'" in ran.out
        assert ran.out.count("\n") == 1


def test_the_configuration_file_counts(run: Run, tmp_path: Path) -> None:
    (tmp_path / "limner.toml").write_text('models = ["./from-the-file"]\n')
    assert "./from-the-file" in run("doctor", "--config", "limner.toml").out
    assert "./from-the-file" not in run("doctor", "--config", "limner.toml", "sketch").out


def test_names_that_are_not_text_are_printed_all_the_same(run: Run) -> None:
    ran = run("doctor", "./na\udcffme")
    assert (ran.code, "./na\\udcffme" in ran.out) == (ExitCode.FAILED, True)


def test_each_finding_is_printed_before_the_next_check(
    run: Run, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[str] = []

    async def late(settings: Settings) -> Sequence[Finding]:
        printed.append(capfd.readouterr().out)
        return [Finding("ok", "looked")]

    monkeypatch.setattr(doctor, "CHECKS", {"python": doctor.CHECKS["python"], "late": late})
    assert run("doctor").out.split() == ["ok", "late", "looked"]
    assert printed[0].startswith("ok       python ")
