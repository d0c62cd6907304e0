"""Parameters as JSON Schema: it allows what the resolver takes, and schema, descriptor and page say the same."""

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from limner.api import model_docs
from limner.catalogue import ModelSpec, ParamSpec, describe, schema
from limner.catalogue.values import MAX_LORAS
from limner.errors import InvalidRequest
from tests.catalogue.make import CATALOGUE, MODELS
from tests.catalogue.tables import ROWS, Row
from tests.catalogue.test_tables import bad_values, call, good_values

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
IMAGE = "data:image/png;base64,AA=="


def accepts(spec: ModelSpec, values: dict[str, Any]) -> bool:
    return jsonschema_rs.Draft202012Validator(schema(spec)).is_valid(values)


def with_needed(row: Row, value: Any) -> dict[str, Any]:
    needed = [other.name for other in ROWS if other.model == row.model and other.required and other.kind == "images"]
    if row.kind == "images" and isinstance(value, int):
        value = [IMAGE] * value
    return {**dict.fromkeys(needed, IMAGE), row.name: value}


TABLED = [row for row in ROWS if row.model not in ("flux_pro_fill",)]


@pytest.mark.parametrize("row", TABLED, ids=str)
def test_the_schema_allows_what_the_documents_do(row: Row) -> None:
    spec = CATALOGUE.get(row.model)
    for value in good_values(row):
        assert accepts(spec, with_needed(row, value)), value


@pytest.mark.parametrize("row", TABLED, ids=str)
def test_the_schema_refuses_what_the_resolver_refuses(row: Row) -> None:
    spec = CATALOGUE.get(row.model)
    step_from_elsewhere = row.step is not None and bool((row.low or 0) % row.step)
    for value in bad_values(row):
        with pytest.raises(InvalidRequest):
            call(row.model, {row.name: value})
        if isinstance(value, float) and (value != value or value in (float("inf"),) or step_from_elsewhere):
            continue  # JSON has no such numbers, and no word for steps that do not count from zero
        assert not accepts(spec, with_needed(row, value)), value


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.id)
def test_schema_descriptor_and_page_say_the_same_of_every_parameter(spec: ModelSpec) -> None:
    made, shown = schema(spec), describe(spec)
    jsonschema_rs.meta.validate(made)
    properties, parameters = made["properties"], shown["parameters"]
    assert isinstance(properties, dict)
    assert isinstance(parameters, dict)
    section = PAGE.split(f"\n### {spec.title}\n\n`{spec.id}`")[1].split("\n##")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert list(properties) == list(parameters) == [line.split("`")[1] for line in rows]
    for param, line in zip(spec.params.values(), rows, strict=True):
        compare(param, properties[param.name], parameters[param.name], line)


def compare(param: ParamSpec, made: Any, shown: Any, line: str) -> None:
    default = shown["default"]
    assert made.get("default") == default
    assert default is None or f"`{param.default!r}`" in line
    if param.type == "enum":
        assert made["enum"] == shown["choices"] == list(param.choices)
        assert all(f"'{choice}'" in line for choice in param.choices)
    if param.type in ("integer", "number"):
        bounds = [shown.get("minimum"), shown.get("maximum")]
        assert [made.get("minimum"), made.get("maximum")] == bounds
        assert all(bound is None or f"{bound:g}" in line for bound in bounds)
    assert param.description in line
    assert param.description in made["description"]


def test_the_document_of_the_api_holds_every_models_schema() -> None:
    found = model_docs.schemas()
    assert found["ModelParameters"]["anyOf"] == [{"$ref": f"#/components/schemas/{n}"} for n in found if "." in n]
    for spec in MODELS:
        assert found[model_docs.name_of(spec)] == schema(spec)
    assert len(found) == len(MODELS) + 1


def test_adapters_may_be_one_or_several() -> None:
    qwen = CATALOGUE.get("qwen-image")
    one = {"path": "a/b", "scale": 0.5}
    assert accepts(qwen, {"lora": one})
    assert accepts(qwen, {"lora": [one] * MAX_LORAS})
    assert not accepts(qwen, {"lora": [one] * (MAX_LORAS + 1)})
    assert not accepts(qwen, {"lora": {"path": ""}})


def test_nothing_else_is_taken() -> None:
    assert not accepts(CATALOGUE.get("sketch"), {"moon_phase": "full"})
    assert accepts(CATALOGUE.get("sketch"), {})


def test_a_size_in_pixels_or_by_its_label() -> None:
    spec = CATALOGUE.get("gemini-2.5-pro")
    for good in ("1024x1536", "1K", "4K"):
        assert accepts(spec, {"image_size": good})
    for bad in ("8K", "1024", "x", 1024):
        assert not accepts(spec, {"image_size": bad})
