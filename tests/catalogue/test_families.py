"""The rules of each model as its own documents state them, then every parameter of every model walked generically."""

from collections.abc import Iterator, Mapping

import pytest

from limner.catalogue import ModelSpec, ParamSpec
from limner.catalogue.conditions import condition_of
from limner.catalogue.derived import SIDES
from limner.core import Lora, Operation, ParamValue
from limner.errors import InvalidRequest, UnknownParameter
from tests.catalogue.make import CATALOGUE, DRAWING, ask, ask_with

G, E, I = Operation.GENERATE, Operation.EDIT, Operation.INPAINT  # noqa: E741


@pytest.mark.parametrize(
    ("model", "operation", "expected"),
    [
        ("sketch", G, {"num_inference_steps": 12, "guidance_scale": 3.0}),
        ("Qwen/Qwen-Image", G, {"num_inference_steps": 50, "true_cfg_scale": 4.0, "guidance_scale": 1.0}),
        ("Qwen/Qwen-Image", E, {"num_inference_steps": 50, "strength": 0.6}),
        ("Qwen/Qwen-Image-Edit", E, {"num_inference_steps": 50, "true_cfg_scale": 4.0, "guidance_scale": 1.0}),
        ("Qwen/Qwen-Image-Edit-2511", E, {"num_inference_steps": 40, "true_cfg_scale": 4.0}),
        ("Tongyi-MAI/Z-Image-Turbo", G, {"num_inference_steps": 9, "guidance_scale": 0.0}),
        ("Tongyi-MAI/Z-Image", G, {"num_inference_steps": 50, "guidance_scale": 4.0}),
        ("Tongyi-MAI/Z-Image", I, {"strength": 1.0}),
        ("flux-dev", G, {"num_inference_steps": 50, "guidance_scale": 3.5}),
        ("flux-schnell", G, {"num_inference_steps": 4, "guidance_scale": 0.0}),
        ("flux-kontext", E, {"num_inference_steps": 28, "guidance_scale": 2.5}),
        ("flux-fill", I, {"num_inference_steps": 50, "guidance_scale": 30.0, "strength": 1.0}),
        ("flux.2-dev", E, {"num_inference_steps": 50, "guidance_scale": 4.0}),
        ("flux.2-klein", G, {"num_inference_steps": 4, "guidance_scale": 1.0}),
        ("flux.2-klein-base-4b", G, {"num_inference_steps": 50, "guidance_scale": 4.0}),
        ("sdxl", G, {"num_inference_steps": 50, "guidance_scale": 5.0}),
        ("sdxl-turbo", G, {"num_inference_steps": 1, "guidance_scale": 0.0}),
        ("sdxl-turbo", E, {"num_inference_steps": 4, "strength": 0.6}),
        ("sd-1.5", G, {"num_inference_steps": 50, "guidance_scale": 7.5}),
        ("sd3.5-medium", G, {"num_inference_steps": 40, "guidance_scale": 4.5}),
    ],
)
def test_defaults(model: str, operation: Operation, expected: dict[str, ParamValue]) -> None:
    resolution = ask(model, operation)
    assert expected.items() <= dict(resolution.request.params).items()
    assert resolution.warnings == ()


@pytest.mark.parametrize(
    ("model", "most"), [("sketch", 50), ("Qwen/Qwen-Image", 200), ("Tongyi-MAI/Z-Image-Turbo", 16), ("flux-dev", 200)]
)
def test_steps_beyond_the_models_maximum_are_refused_naming_it(model: str, most: int) -> None:
    assert ask_with(model, num_inference_steps=most).request.params["num_inference_steps"] == most
    with pytest.raises(InvalidRequest, match=rf"'num_inference_steps': {most + 1}\. .*from 1 to {most}$"):
        ask_with(model, num_inference_steps=most + 1)


def test_z_image_turbo_forces_guidance_and_ignores_true_cfg() -> None:
    resolution = ask_with("Tongyi-MAI/Z-Image-Turbo", guidance_scale=7.5, true_cfg_scale=4.0, negative_prompt="blurry")
    assert dict(resolution.request.params) == {"num_inference_steps": 9, "guidance_scale": 0.0}
    assert {w.param: w.code for w in resolution.warnings} == {
        "guidance_scale": "forced",
        "true_cfg_scale": "ignored",
        "negative_prompt": "ignored",
    }
    assert ask_with("Tongyi-MAI/Z-Image-Turbo", guidance_scale=0).warnings == ()


def test_qwen_image_takes_both_guidance_parameters_and_says_that_one_may_do_nothing() -> None:
    resolution = ask_with("Qwen/Qwen-Image", guidance_scale=2, true_cfg_scale=3)
    assert resolution.request.params["guidance_scale"] == 2.0
    assert resolution.request.params["true_cfg_scale"] == 3.0
    assert [(w.param, w.code) for w in resolution.warnings] == [("guidance_scale", "unverified")]


@pytest.mark.parametrize(
    ("model", "params", "heeded"),
    [
        ("sketch", {}, True),
        ("sketch", {"guidance_scale": 1.01}, True),
        ("sketch", {"guidance_scale": 1}, False),
        ("sketch", {"guidance_scale": 0.5}, False),
        ("sketch", {"guidance_scale": 0}, False),
        ("flux.2-klein", {}, False),
        ("flux.2-klein", {"guidance_scale": 4}, False),
        ("flux.2-klein-base-4b", {}, True),
        ("flux-dev", {"guidance_scale": 4}, False),
        ("flux-dev", {"true_cfg_scale": 2}, True),
        ("qwen-image", {"true_cfg_scale": 1}, False),
        ("Tongyi-MAI/Z-Image", {"guidance_scale": 0.5}, True),
        ("Tongyi-MAI/Z-Image", {"guidance_scale": 0}, False),
        ("sdxl", {"guidance_scale": 1}, False),
    ],
)
def test_a_negative_prompt_without_guidance_is_ignored_with_a_warning(
    model: str, params: dict[str, ParamValue], heeded: bool
) -> None:
    resolution = ask(model, params={"negative_prompt": "red", **params})
    assert resolution.request.params.get("negative_prompt") == ("red" if heeded else None)
    warned = [(w.param, w.code) for w in resolution.warnings if w.param == "negative_prompt"]
    assert warned == ([] if heeded else [("negative_prompt", "ignored")])
    unasked = ask(model, params=params)
    assert not [w for w in unasked.warnings if w.param == "negative_prompt"]


def test_a_parameter_of_another_operation_is_refused_naming_where_it_applies() -> None:
    with pytest.raises(
        UnknownParameter, match=r"'strength' applies to edit, inpaint, .* not to generate\. Allowed: num_"
    ):
        ask_with("Qwen/Qwen-Image", strength=0.5)
    with pytest.raises(
        UnknownParameter, match="'strength' applies to inpaint, outpaint, region_edit, vary, not to edit"
    ):
        ask_with("sketch", E, strength=0.5)


def test_strength_that_leaves_no_step_is_refused_before_the_pipeline_would() -> None:
    with pytest.raises(InvalidRequest, match=r"'strength': 0.2\. Of 4 steps none would run; .* 0.25 or more"):
        ask_with("flux-schnell", E, strength=0.2)
    assert ask_with("flux-schnell", E, strength=0.25).request.params["strength"] == 0.25


@pytest.mark.parametrize(
    ("alias", "model"),
    [
        ("protolabs/qwen-image", "Qwen/Qwen-Image-2512"),
        ("protolabs/qwen-image-edit", "Qwen/Qwen-Image-Edit-2511"),
        ("QWEN/qwen-image", "Qwen/Qwen-Image"),
        ("z-image-turbo", "Tongyi-MAI/Z-Image-Turbo"),
    ],
)
def test_aliases(alias: str, model: str) -> None:
    assert CATALOGUE.get(alias).id == model


def cases() -> Iterator[tuple[ModelSpec, Operation, ParamSpec]]:
    for spec in DRAWING:  # the others are held against the documents' tables
        for operation in spec.sorted_operations:
            for param in spec.params.values():
                if param.applies_to(operation):
                    yield spec, operation, param


def name(case: object) -> str:
    return str(getattr(case, "id", getattr(case, "name", case)))


def allowed_values(param: ParamSpec) -> list[ParamValue]:
    match param.type:
        case "integer" | "number":
            return [param.minimum, param.maximum]
        case "enum":
            return list(param.choices)
        case "boolean":
            return [True, False]
        case "string":
            return ["blurry", "x" * int(param.maximum or 1)]
        case "loras":
            return [(Lora("a/b", -4.0), Lora("c", 4.0)), (Lora("x"),) * 4]
        case "size" | "images" | "mask":
            raise AssertionError("models with weights have none of these")


def refused_values(param: ParamSpec) -> list[object]:
    values: list[object] = [{"a": 1}, ["a"]]
    match param.type:
        case "integer" | "number":
            step = param.step or (1 if param.type == "integer" else 0.001)
            values += ["abc", "1", True, float("nan"), float("inf")]
            values += [(param.minimum or 0) - step, (param.maximum or 0) + step]
        case "enum":
            values += ["no such choice", 1, True]
        case "boolean":
            values += ["true", 1]
        case "string":
            values += [1, True, "x" * (int(param.maximum or 0) + 1)]
        case "loras":
            values += ["a/b", (Lora("x"),) * 5, (Lora("x", 4.5),), (Lora("x", -4.5),), (Lora(""),)]
    return values


def roomy(spec: ModelSpec, operation: Operation) -> dict[str, ParamValue]:
    """Values of the other parameters that leave room for any bound: strength needs steps and the reverse, a negative
    prompt needs guidance, a share of what is likely needs a temperature."""
    steps = spec.params.get("num_inference_steps")
    roomy: dict[str, ParamValue] = {"num_inference_steps": steps.maximum if steps else None, "strength": 1.0}
    roomy |= {"guidance_scale": 2.0, "true_cfg_scale": 2.0, "temperature": 1.0}
    return {key: v for key, v in roomy.items() if key in spec.params and spec.params[key].applies_to(operation)}


@pytest.mark.parametrize(("spec", "operation", "param"), list(cases()), ids=name)
def test_every_parameter_takes_its_bounds_and_refuses_what_lies_outside(
    spec: ModelSpec, operation: Operation, param: ParamSpec
) -> None:
    others = roomy(spec, operation)
    if param.name in SIDES:
        others["left" if param.name == "right" else "right"] = 1
    for value in allowed_values(param):
        if param.name == "strength":  # at the fewest steps that can be had, the least strength has no step to run
            value = max(float(str(value)), 1 / float(str(others["num_inference_steps"])))
        check_taken(spec, param, value, ask(spec, operation, params={**others, param.name: value}).request.params)
    for wrong in refused_values(param):
        with pytest.raises(InvalidRequest) as caught:
            ask(spec, operation, params={**others, param.name: wrong})
        assert caught.value.param == param.name


def check_taken(spec: ModelSpec, param: ParamSpec, value: ParamValue, params: Mapping[str, ParamValue]) -> None:
    condition = condition_of(param.ignored_when or "")
    guide = spec.params[condition[0]] if condition else None
    if param.ignored or (guide and guide.forced is not None):
        assert param.name not in params
    else:
        assert params[param.name] == (value if param.forced is None else param.forced)


@pytest.mark.parametrize(
    ("name", "has", "lacks"),
    [
        ("flux2_pro", "aspect_ratio", "safety_tolerance"),  # RouteLLM
        ("black-forest-labs/flux.2-pro", "aspect_ratio", "safety_tolerance"),  # OpenRouter
        ("black-forest-labs/FLUX-2-pro", "safety_tolerance", "aspect_ratio"),  # the Relay
        ("FLUX-2-pro", "safety_tolerance", "aspect_ratio"),
        ("flux-2-pro", "safety_tolerance", "aspect_ratio"),  # its maker
    ],
)
def test_each_name_of_flux_2_pro_has_the_table_of_the_document_that_uses_it(name: str, has: str, lacks: str) -> None:
    params = CATALOGUE.get(name).params
    assert has in params
    assert lacks not in params


def test_the_documents_of_nano_banana_name_different_proportions() -> None:
    names = ("nano_banana", "gemini-2.5-flash-image")
    routellms, googles = (CATALOGUE.get(name).params["aspect_ratio"].sizes for name in names)
    assert set(googles) - set(routellms) == {"4:5", "5:4", "21:9"}
