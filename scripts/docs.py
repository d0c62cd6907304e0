"""Writes the generated pages of docs/, which tests hold equal to the code. Run by ``make docs``."""

from pathlib import Path

from limner.catalogue import Catalogue
from limner.catalogue import docs as catalogue_docs
from scripts import cli_docs, dashboard, settings_docs

PAGES = {
    "cli.md": cli_docs.render,
    "models.md": lambda: catalogue_docs.render(Catalogue.builtin()),
    "settings.md": settings_docs.render,
}


def main() -> None:
    """Write every page, and the dashboard, that is generated from code."""
    for name, render in PAGES.items():
        (Path(__file__).resolve().parent.parent / "docs" / name).write_text(render(), encoding="utf-8")
        print(f"docs/{name}")
    dashboard.FILE.write_text(dashboard.render(), encoding="utf-8")
    print("deploy/grafana/limner.json")


if __name__ == "__main__":
    main()
