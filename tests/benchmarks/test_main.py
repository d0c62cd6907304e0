"""The command, and that the documentation knows every benchmark."""

from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS, main, summary

DOCS = Path(__file__).parents[2] / "docs" / "benchmarks.md"


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_says_what_it_is_and_is_documented(name: str) -> None:
    assert summary(BENCHMARKS[name]).endswith(".")
    assert f"`{name}`" in DOCS.read_text(encoding="utf-8")


def test_the_list_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(BENCHMARKS)


@pytest.mark.parametrize("argv", [["nonsense"], ["--rounds", "1"]])
def test_what_it_cannot_run_is_refused(argv: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(argv)
