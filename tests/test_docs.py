"""The documents are held against the code."""

from pathlib import Path

from limner.api.app import create_app
from limner.config import Settings, load_settings
from limner.errors import LimnerError
from scripts.settings_docs import render
from tests.fakes import FakeBackend, opener

ROOT = Path(__file__).parent.parent
API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
DIALECTS_PAGE = (ROOT / "docs" / "dialects.md").read_text(encoding="utf-8")


def all_errors(root: type[LimnerError]) -> set[type[LimnerError]]:
    return {root, *(found for child in root.__subclasses__() for found in all_errors(child))}


def test_every_setting_is_documented_as_it_is() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == render()
    assert "port" in Settings.model_fields


def test_every_error_code_is_documented_with_its_status() -> None:
    for error in all_errors(LimnerError):
        rows = [line for line in API.splitlines() if line.startswith(f"| {error.status} |")]
        assert any(f"`{error.code}`" in row for row in rows), error


def test_every_route_is_documented() -> None:
    paths = create_app(load_settings(None, {}), opener(FakeBackend())).openapi()["paths"]
    named = {path.replace("{model_id}", "{id}").replace("{job_id}", "{id}") for path in paths}
    assert [path for path in sorted(named) if f"{path}`" not in API + DIALECTS_PAGE] == []


def test_the_readme_links_to_pages_that_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for link in (part.split(")")[0] for part in readme.split("](")[1:]):
        if not link.startswith("http"):
            assert (ROOT / link).exists(), link


def test_the_changelog_knows_this_version() -> None:
    from limner import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
