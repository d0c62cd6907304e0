"""The command: what it prints and how it ends. Runs themselves are not made here."""

from pathlib import Path

import pytest

from chaos import __main__ as command
from chaos.audit import Fault
from chaos.layouts import LAYOUTS, Layout
from chaos.run import Found, Plan
from chaos.servers import Trouble

LOST = Fault("lost job", "job_1", "the database knows nothing")


def runs(monkeypatch: pytest.MonkeyPatch, *faults: Fault, trouble: bool = False) -> list[tuple[str, Plan, Path]]:
    """Stand in for runs; gives what they were asked for."""
    made: list[tuple[str, Plan, Path]] = []

    async def run(layout: Layout, plan: Plan, directory: Path) -> Found:
        made.append((layout.name, plan, directory))
        if trouble:
            raise Trouble("server ended by itself")
        return Found({"kills": "20"}, faults)

    monkeypatch.setattr(command, "run", run)
    return made


def test_each_database_sees_at_least_twenty_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    made = runs(monkeypatch)
    assert command.main([]) == 0
    assert [name for name, _, _ in made] == list(LAYOUTS)
    for on_postgres in (False, True):
        assert sum(plan.kills for name, plan, _ in made if LAYOUTS[name].on_postgres is on_postgres) >= 20
    assert not any(directory.exists() for _, _, directory in made)


def test_the_figures_stand_in_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    runs(monkeypatch)
    command.main(["--database", "sqlite", "--database", "postgres"])
    head, _, row = capsys.readouterr().out.splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")] == ["", "sqlite", "postgres"]
    assert [cell.strip() for cell in row.strip("|").split("|")] == ["kills", "20", "20"]


def test_a_fault_is_named_and_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs(monkeypatch, LOST)
    assert command.main(["--database", "sqlite"]) == 1
    assert "sqlite: lost job: job_1: the database knows nothing" in capsys.readouterr().out


def test_a_server_that_fails_by_itself_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs(monkeypatch, trouble=True)
    assert command.main(["--database", "sqlite"]) == 1
    assert "server ended by itself" in capsys.readouterr().err


def test_what_a_run_wrote_is_kept_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    made = runs(monkeypatch)
    command.main(["--database", "sqlite", "--kills", "3", "--seconds", "9", "--seed", "4", "--keep"])
    ((_, plan, directory),) = made
    assert plan == Plan(3, 9.0, 4)
    assert directory.is_dir()
    directory.rmdir()


def test_a_database_that_is_none_is_refused() -> None:
    with pytest.raises(SystemExit):
        command.main(["--database", "oracle"])


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_somebody_answers_and_somebody_draws(layout: Layout, tmp_path: Path) -> None:
    assert any(role.answers for role in layout.roles)
    servers = layout.servers(tmp_path, "sqlite:///x")
    assert "true" in [server.settings["draws"] for server in servers]
    assert len({server.port for server in servers}) == len({server.log for server in servers}) == len(layout.roles)
    assert {server.settings["data"] for server in servers} == {str(tmp_path / "data")}
