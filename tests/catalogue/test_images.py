"""Which of a request's pictures belong to which parameter, and what a request with so many pictures asks for."""

import pytest

from limner.catalogue import resolve
from limner.catalogue.images import arrange, image_params, mask_param, operation_for
from limner.core import Operation
from limner.errors import InvalidRequest, MissingParameter, UnknownParameter
from tests.catalogue.make import CATALOGUE, POLICY, ask, picture, request

G, E, I, U = Operation.GENERATE, Operation.EDIT, Operation.INPAINT, Operation.UPSCALE  # noqa: E741


@pytest.mark.parametrize(
    ("model", "table"),
    [
        ("flux_kontext", [("image_prompt", 4, False)]),
        ("flux_pro_canny", [("control_image", 1, True)]),
        ("ideogram_character", [("character_images", 4, True), ("style_images", 4, False)]),
        ("nano_banana2", [("image_prompt", 14, False)]),
        ("dalle", []),
        ("sketch", []),
    ],
)
def test_the_parameters_that_bring_pictures(model: str, table: list[tuple[str, int, bool]]) -> None:
    assert [(param.name, param.maximum, param.required) for param in image_params(CATALOGUE.get(model))] == table


def test_the_parameter_that_brings_a_mask() -> None:
    mask = mask_param(CATALOGUE.get("flux_pro_fill"))
    assert mask is not None
    assert (mask.name, mask.type) == ("mask", "mask")
    assert mask_param(CATALOGUE.get("flux_kontext")) is None


@pytest.mark.parametrize(
    ("model", "images", "mask", "operation"),
    [
        ("flux_kontext", 0, False, G),
        ("flux_kontext", 2, False, E),
        ("flux_kontext_edit", 0, False, E),  # it cannot draw without one, and says which is missing
        ("magnific", 0, False, U),
        ("magnific", 1, False, U),
        ("flux_pro_fill", 1, True, I),
        ("flux_pro_fill", 1, False, I),
        ("gpt_image", 1, True, I),
        ("dalle", 1, False, E),  # refused by the resolver
        ("nano_banana", 1, True, I),
        ("sketch", 1, True, I),
    ],
)
def test_the_operation_follows_from_what_is_brought(model: str, images: int, mask: bool, operation: Operation) -> None:
    assert operation_for(CATALOGUE.get(model), images=images, mask=mask) is operation


def test_pictures_are_put_into_the_tables_order() -> None:
    spec = CATALOGUE.get("ideogram_character")
    arranged = arrange(spec, {"style_images": ["s"], "character_images": ["a", "b"]})
    assert arranged.pictures == (("character_images", "a"), ("character_images", "b"), ("style_images", "s"))
    assert arranged.params == {"character_images": 2, "style_images": 1}


def test_too_many_missing_and_unknown_ones_are_refused_before_they_are_read() -> None:
    spec = CATALOGUE.get("ideogram_character")
    with pytest.raises(InvalidRequest, match=r"'style_images': 5 pictures\. Allowed: up to 4 input pictures") as many:
        arrange(spec, {"character_images": ["a"], "style_images": ["s"] * 5})
    assert many.value.param == "style_images"
    with pytest.raises(MissingParameter) as missing:
        arrange(spec, {"style_images": ["s"]})
    assert missing.value.param == "character_images"
    with pytest.raises(UnknownParameter, match="Allowed: character_images, style_images") as unknown:
        arrange(spec, {"image_prompt": ["a"]})
    assert unknown.value.param == "image_prompt"
    with pytest.raises(UnknownParameter, match="Allowed: none"):
        arrange(CATALOGUE.get("dalle"), {"image_prompt": ["a"]})


def test_pictures_of_nobody_in_particular_fill_the_parameters_in_order() -> None:
    filled = ask("ideogram_character", E, inputs=(picture(),) * 6).request
    assert (filled.params["character_images"], filled.params["style_images"]) == (4, 2)
    assert ask("black-forest-labs/FLUX-2-pro", E, inputs=(picture(),) * 3).request.params["input_image_3"] == 1


@pytest.mark.parametrize("params", [{"character_images": 1}, {"character_images": 3}, {"style_images": 2}])
def test_numbers_that_are_not_those_of_the_pictures_are_refused(params: dict[str, int]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ask("ideogram_character", E, inputs=(picture(),) * 2, params=params)
    assert caught.value.param == "character_images"


def test_a_picture_that_a_model_cannot_do_without_is_missed_by_its_name() -> None:
    for model, param in (("flux_pro_depth", "control_image"), ("magnific", "image_prompt"), ("sketch", "image")):
        spec = CATALOGUE.get(model)
        operation = operation_for(spec, images=0 if model != "sketch" else 1)
        with pytest.raises(MissingParameter) as caught:
            resolve(request(operation, inputs=()), spec, POLICY)
        assert caught.value.param == param


def test_more_pictures_than_all_parameters_bring_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"'character_images': 9 pictures\. .* at most 8") as caught:
        ask("ideogram_character", E, inputs=(picture(),) * 9)
    assert caught.value.param == "character_images"
