from pathlib import Path

from limner.catalogue.docs import main, render
from tests.catalogue.make import CATALOGUE, MODELS

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def test_the_page_of_models_is_what_the_data_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(CATALOGUE), "run: python -m limner.catalogue.docs"


def test_writes_the_page(tmp_path: Path) -> None:
    main([str(tmp_path / "models.md")])
    text = (tmp_path / "models.md").read_text(encoding="utf-8")
    assert all(f"`{spec.id}`" in text for spec in MODELS)
