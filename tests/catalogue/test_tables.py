"""Every parameter of every table of the documents, walked: default, values, bounds, just outside, wrong type, missing.

What is expected is transcribed from the documents (`tables`), not read from the catalogue.
"""

from typing import Any

import pytest

from limner.catalogue import Resolution, resolve
from limner.catalogue.images import arrange, operation_for
from limner.core import Operation, Request, Size
from limner.errors import InvalidRequest, MissingParameter, UnknownParameter
from tests.catalogue.make import CATALOGUE, POLICY, picture
from tests.catalogue.tables import RELAY, ROUTELLM, ROWS, Row

REQUIRED = {model: [row for row in ROWS if row.model == model and row.required] for model in {r.model for r in ROWS}}
FIELDS = {"n": "n", "num_images": "n", "seed": "seed"}


def call(model: str, values: dict[str, Any], without: str = "") -> Resolution:
    """What a wire makes of the document's parameters, with whatever else the model requires."""
    needed = {row.name: 1 for row in REQUIRED.get(model, ()) if row.kind == "images"}
    needed |= {name: 1 for needy, name in ROUTELLM["needs_pictures"].items() if needy == model}
    counts = {
        row.name: values[row.name] for row in ROWS if row.model == model and row.name in values and row.kind == "images"
    }
    given = {name: (picture(),) * count for name, count in (needed | counts).items() if name != without}
    spec = CATALOGUE.get(model)
    arranged = arrange(spec, given)
    operation = operation_for(spec, images=len(arranged.pictures))
    masked = spec.operations == {Operation.INPAINT}
    request = Request(
        operation=Operation.INPAINT if masked else operation,
        model=model,
        prompt="" if "prompt" in (*values, without) else "a red circle",
        inputs=tuple(one for _, one in arranged.pictures),
        mask=picture() if masked and without != "mask" else None,
        params={**arranged.params, **{name: value for name, value in values.items() if name not in counts}},
    )
    return resolve(request, spec, POLICY)


def used(resolution: Resolution, name: str) -> Any:
    """The value that took effect, as the wire would have said it."""
    request = resolution.request
    match name:
        case "prompt":
            return request.prompt
        case "n" | "num_images" | "seed":
            return getattr(request, FIELDS[name])
        case "size":
            return str(request.size)
        case "width" | "height":
            assert request.size is not None
            return getattr(request.size, f"{name}_px")
        case "output_format":
            return request.output.format
        case "rewrite_prompt":  # says in a warning that it does nothing
            return any(warning.param == name for warning in resolution.warnings)
        case _:
            return request.params.get(name)


def good_values(row: Row) -> list[Any]:
    match row.kind:
        case "choice":
            return list(row.choices)
        case "flag":
            return [True, False]
        case "text":
            return ["a fox", "x" * 5000]
        case "integer" if row.low is None:
            return [0, 1, 4_294_967_295, 2**63 - 1]
        case "images":
            return list(range(1, int(row.high or 1) + 1))
        case _:
            assert row.low is not None
            assert row.high is not None
            step = row.step or 1
            values = [row.low, row.high, row.low + step, row.high - step]
            return [int(value) for value in values] if row.kind == "integer" else values


def bad_values(row: Row) -> list[Any]:
    match row.kind:
        case "choice":
            return ["no such value", "", row.choices[0] + " ", 1, True, [row.choices[0]], {}]
        case "flag":
            return ["true", "yes", 1, 0, [], {}]
        case "text":
            return [1, 1.5, True, ["text"], {}]
        case "integer" if row.low is None:
            return ["1", 1.5, True, [1], {}]
        case "images":
            return [int(row.high or 1) + 1]
        case _:
            assert row.low is not None
            assert row.high is not None
            step = row.step or 1
            outside = [row.low - step, row.high + step, row.low - step / 2, row.high + step / 2]
            between = [row.low + step / 3] if row.step or row.kind == "integer" else []
            outside = [int(value) if value.is_integer() else value for value in outside]
            return [*outside, *between, str(row.low), True, [row.low], {}, float("nan"), float("inf")]


CASES = [(row, value) for row in ROWS for value in good_values(row)]
REFUSED = [(row, value) for row in ROWS for value in bad_values(row)]


def name(case: object) -> str:
    return str(case) if isinstance(case, Row) else repr(case)[:20]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_default_is_the_documents(row: Row) -> None:
    resolution = call(row.model, {})
    if row.default is None or ignored_with(row, resolution):
        assert row.kind in ("text", "integer", "images") or row.name not in resolution.request.params
        return
    expected = int(row.default) if row.kind == "integer" else row.default
    assert used(resolution, row.name) == expected


@pytest.mark.parametrize(("row", "value"), CASES, ids=name)
def test_every_valid_value_is_taken_and_used(row: Row, value: Any) -> None:
    resolution = call(row.model, {row.name: value})
    if (row.name, value) == ("size", "auto"):
        assert resolution.request.size == Size(1024, 1024)
        return
    assert used(resolution, row.name) == value
    assert row.name == "rewrite_prompt" or not [w for w in resolution.warnings if w.param == row.name]


@pytest.mark.parametrize(("row", "value"), REFUSED, ids=name)
def test_every_other_value_is_refused_naming_the_parameter_the_value_and_what_is_allowed(row: Row, value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call(row.model, {row.name: value})
    error = caught.value
    assert (error.status, error.param) == (400, row.name)
    assert row.name in error.message
    assert "Allowed: " in error.message
    assert all(choice in error.message for choice in row.choices)
    assert isinstance(value, str) or row.kind == "images" or repr(value) in error.message


@pytest.mark.parametrize("row", [row for row in ROWS if row.required], ids=str)
def test_what_is_required_must_be_given_unless_it_has_a_default(row: Row) -> None:
    if row.default is not None:
        assert used(call(row.model, {}, without=row.name), row.name) == row.default
        return
    with pytest.raises(MissingParameter) as caught:
        call(row.model, {}, without=row.name)
    assert caught.value.param == row.name


@pytest.mark.parametrize("model", [*ROUTELLM["models"], *ROUTELLM["language_models"], *RELAY["models"]])
def test_every_model_of_the_documents_is_known(model: str) -> None:
    assert CATALOGUE.get(model).id.casefold() == model.casefold()


@pytest.mark.parametrize("model", [model for table in ROUTELLM["tables"][1:] for model in table["models"]])
def test_no_table_has_more_than_the_documents(model: str) -> None:
    documented = {row.name for row in ROWS if row.model == model}
    assert set(CATALOGUE.get(model).params) == documented
    with pytest.raises(UnknownParameter, match="Allowed: prompt") as caught:
        call(model, {"moon_phase": "full"})
    assert caught.value.param == "moon_phase"


@pytest.mark.parametrize(
    ("model", "parameter"), [(m, each["parameter"]) for each in ROUTELLM["not_supported"] for m in each["models"]]
)
def test_what_a_model_does_not_support_is_refused(model: str, parameter: str) -> None:
    with pytest.raises(UnknownParameter) as caught:
        call(model, {parameter: 1})
    assert caught.value.param == parameter


@pytest.mark.parametrize(
    ("model", "when", "parameter"),
    [(m, each["when"], p) for each in ROUTELLM["ignored"] for m in each["models"] for p in each["parameters"]],
)
def test_what_is_ignored_beside_a_picture_is_taken_with_a_warning(model: str, when: str, parameter: str) -> None:
    values = {"num_images": 3, "seed": 5, "guidance_scale": 7.5, "quality": "high", "size": "1024x1536"}
    alone = call(model, {parameter: values[parameter]})
    assert used(alone, parameter) == values[parameter]
    assert not [w for w in alone.warnings if w.param == parameter]
    beside = call(model, {parameter: values[parameter], when: 1})
    assert [w.code for w in beside.warnings if w.param == parameter] == ["ignored"]
    assert parameter not in beside.request.params
    assert beside.request.n == 1
    assert [w.param for w in call(model, {when: 1}).warnings] == ["rewrite_prompt"]  # defaults are nobody's wish


@pytest.mark.parametrize("example", ROUTELLM["examples"], ids=lambda example: str(example["image_config"]))
def test_the_documents_examples_resolve(example: dict[str, Any]) -> None:
    resolution = call(example["model"], example["image_config"])
    assert resolution.request.n == example["image_config"]["num_images"]
    assert [w.param for w in resolution.warnings] == ["rewrite_prompt"]


def test_four_times_the_pixels_cost_twice_the_credits() -> None:
    double = ROUTELLM["double_credits"]
    for model in double["models"]:
        assert CATALOGUE.get(model).params[double["parameter"]].cost_factors == {double["value"]: 2.0}


def ignored_with(row: Row, resolution: Resolution) -> bool:
    """Whether the document says that the parameter does nothing beside what this call needed to have."""
    rules = (rule for rule in ROUTELLM["ignored"] if row.model in rule["models"] and row.name in rule["parameters"])
    return any(rule["when"] in resolution.request.params for rule in rules)
