"""Sizes that parameters mean: proportions, tiers, names, and what holds when pixels are asked for as well."""

from typing import Any

import pytest

from limner.catalogue import resolve
from limner.core import Operation, Size
from limner.errors import InvalidRequest
from tests.catalogue.make import POLICY, ask, ask_with, picture

G, E, U = Operation.GENERATE, Operation.EDIT, Operation.UPSCALE


@pytest.mark.parametrize(
    ("model", "params", "size"),
    [
        ("nano_banana2", {}, "1024x1024"),
        ("nano_banana2", {"aspect_ratio": "21:9"}, "1536x672"),
        ("nano_banana2", {"resolution": "0.5K"}, "512x512"),
        ("nano_banana2", {"aspect_ratio": "21:9", "resolution": "4K"}, "6144x2688"),
        ("gemini-2.5-flash-image", {"aspect_ratio": "21:9"}, "1536x672"),
        ("google/gemini-2.5-flash-image", {"aspect_ratio": "4:5"}, "896x1152"),
        ("gemini-2.5-flash-image-preview", {"aspect_ratio": "5:4"}, "1152x896"),
        ("google/gemini-3-pro-T2I", {"aspect_ratio": "9:16", "image_size": "2K"}, "1536x2688"),
        ("flux2", {"aspect_ratio": "1:1"}, "512x512"),
        ("flux_pro_ultra", {"aspect_ratio": "9:21"}, "1344x3136"),
        ("ideogram", {"aspect_ratio": "3x1"}, "1536x512"),
        ("hunyuan_image", {"image_size": "landscape_16_9"}, "1024x576"),
        ("seedream", {}, "4096x4096"),
        ("seedream", {"image_size": "square"}, "512x512"),
        ("flux_pro", {"size": "768x576"}, "768x576"),
        ("black-forest-labs/FLUX-2-pro", {"width": 512, "height": 768}, "512x768"),
        ("black-forest-labs/FLUX-2-pro", {"height": 768}, "1024x768"),
        ("gemini-2.5-pro", {"image_size": "1024x1536"}, "1024x1536"),
        ("gemini-2.5-pro", {"image_size": "2K"}, "2048x2048"),
        ("gemini-2.5-pro", {"image_size": "2K", "aspect_ratio": "16:9"}, "2688x1536"),
        ("gemini-2.5-pro", {"resolution": "2K"}, "2048x2048"),
        ("gemini-2.5-pro", {"resolution": "2K", "image_size": "2K"}, "2048x2048"),
        ("gemini-2.5-pro", {"resolution": "2K", "image_size": "2K", "aspect_ratio": "16:9"}, "2688x1536"),
        ("gemini-2.5-pro", {"aspect_ratio": "2:3", "image_size": "1024x1536", "resolution": "2K"}, "2048x3072"),
        ("gemini-2.5-pro", {"size": "1024x768"}, "1024x768"),
        ("gemini-2.5-pro", {"size": "auto"}, "1024x1024"),
    ],
)
def test_parameters_mean_sizes(model: str, params: dict[str, Any], size: str) -> None:
    resolution = ask_with(model, G, **params)
    assert str(resolution.request.size) == size
    assert {w.param for w in resolution.warnings} <= {"rewrite_prompt"}


def test_a_size_that_is_left_open_follows_prompt_and_picture() -> None:
    assert str(ask("seedream", prompt="a cat, 16:9").request.size) == "5440x3072"
    assert str(ask("seedream", E, inputs=(picture(160, 90),)).request.size) == "5440x3072"
    assert str(ask("gemini-2.5-pro", E, inputs=(picture(160, 90),)).request.size) == "1344x768"
    doubled = ask("gemini-2.5-pro", E, inputs=(picture(160, 90),), params={"resolution": "2K"})
    assert str(doubled.request.size) == "2688x1536"


@pytest.mark.parametrize(
    ("prompt", "tier", "size"),
    [
        ("a cat, 1200x800", "1K", "1248x832"),
        ("a cat, 1200x800", "2K", "2496x1664"),
        ("a cat, 4000x4000", "4K", "4096x4096"),
        ("a cat, 16:9", "2K", "2688x1536"),
    ],
)
def test_of_pixels_in_a_prompt_only_the_proportions_count_beside_a_tier(prompt: str, tier: str, size: str) -> None:
    assert str(ask("gemini-2.5-pro", prompt=prompt, params={"resolution": tier}).request.size) == size


def test_two_words_for_one_tier_must_agree() -> None:
    with pytest.raises(InvalidRequest) as caught:
        ask_with("gemini-2.5-pro", resolution="1K", image_size="2K")
    assert caught.value.param == "image_size"
    assert caught.value.message == "'image_size' '2K' contradicts 'resolution' '1K'. Give one of them"


@pytest.mark.parametrize(
    ("model", "size", "params"),
    [
        ("nano_banana2", Size(2688, 1536), {"resolution": "2K"}),
        ("nano_banana2", Size(2688, 1536), {"aspect_ratio": "16:9"}),
        ("gemini-2.5-pro", Size(2304, 1728), {"resolution": "2K"}),
        ("gemini-2.5-pro", Size(8192, 64), {"resolution": "1K"}),
    ],
)
def test_a_size_beside_a_tier_is_of_that_tier_and_what_nobody_set_drops_out(
    model: str, size: Size, params: dict[str, Any]
) -> None:
    first = ask(model, size=size, params=params)
    assert first.request.size == size
    assert {"aspect_ratio", "resolution"} & set(first.request.params) == set(params)
    assert resolve(first.request, first.spec, POLICY).request == first.request


@pytest.mark.parametrize("model", ["nano_banana2", "gemini-2.5-pro"])
def test_a_size_of_another_tier_is_refused(model: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ask(model, size=Size(1344, 768), params={"resolution": "2K"})
    assert caught.value.param == "resolution"
    assert caught.value.message == "'size' 1344x768 contradicts 'resolution' '2K': 2688x1536. Give one of them"


@pytest.mark.parametrize(("factor", "size"), [("2x", "200x120"), ("4x", "400x240"), ("8x", "800x480")])
def test_enlarging_multiplies_the_pictures_sides(factor: str, size: str) -> None:
    resolution = ask("magnific", U, inputs=(picture(100, 60),), params={"scale_factor": factor})
    assert str(resolution.request.size) == size


def test_a_size_beside_a_factor_of_a_picture_is_just_that() -> None:
    sides = {"inputs": (picture(100, 60),), "params": {"scale_factor": "2x"}}
    assert ask("magnific", U, size=Size(200, 120), **sides)
    with pytest.raises(InvalidRequest, match="'size' 201x120 contradicts 'scale_factor' '2x': 200x120"):
        ask("magnific", U, size=Size(201, 120), **sides)


def test_more_pixels_than_the_upstream_makes_are_refused_naming_the_factor() -> None:
    with pytest.raises(InvalidRequest) as caught:
        ask("magnific", U, inputs=(picture(1000, 1000),), params={"scale_factor": "8x"})
    assert caught.value.param == "scale_factor"
    assert "it means 8000x8000" in caught.value.message
    assert "at most 25,300,000" in caught.value.message


def test_a_size_beside_defaults_counts_and_they_drop_out() -> None:
    resolution = ask("nano_banana2", size=Size(2688, 1536))
    assert str(resolution.request.size) == "2688x1536"
    assert not {"aspect_ratio", "resolution"} & set(resolution.request.params)
    with pytest.raises(InvalidRequest, match=r"'size': '512x300'.*Allowed: 512x512, 1024x1024") as caught:
        ask("nano_banana2", size=Size(512, 300))
    assert caught.value.param == "size"


def test_a_size_that_contradicts_what_was_set_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        ask("nano_banana2", size=Size(1024, 1024), params={"aspect_ratio": "16:9"})
    assert caught.value.param == "aspect_ratio"
    assert caught.value.message == ("'size' 1024x1024 contradicts 'aspect_ratio' '16:9': 1344x768. Give one of them")
    assert ask("nano_banana2", size=Size(1344, 768), params={"aspect_ratio": "16:9"})


def test_a_size_of_the_proportions_that_were_set_does_not_contradict_them() -> None:
    resolution = ask("gemini-2.5-pro", size=Size(1280, 720), params={"aspect_ratio": "16:9"})
    assert str(resolution.request.size) == "1280x720"
    with pytest.raises(InvalidRequest):
        ask("gemini-2.5-pro", size=Size(1280, 720), params={"aspect_ratio": "16:9", "resolution": "2K"})


def test_pixels_decide_over_proportions_with_a_warning() -> None:
    resolution = ask_with("gemini-2.5-pro", image_size="1024x1536", aspect_ratio="1:1")
    assert str(resolution.request.size) == "1024x1536"
    [told] = [warning for warning in resolution.warnings if warning.param == "aspect_ratio"]
    assert (told.code, "'image_size' decides the size: 1024x1536" in told.message) == ("ignored", True)


def test_pixels_that_are_no_multiples_are_snapped_with_a_warning() -> None:
    resolution = ask_with("gemini-2.5-pro", image_size="300x300")
    assert str(resolution.request.size) == "304x304"
    assert ("image_size", "adjusted") in [(warning.param, warning.code) for warning in resolution.warnings]


@pytest.mark.parametrize(("name", "value"), [("image_size", "9x9"), ("image_size", "9000x100"), ("size", "9x9")])
def test_pixels_out_of_bounds_are_refused_naming_the_parameter(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest, match="Allowed: sides from 64 to 8192 pixels") as caught:
        ask("gemini-2.5-pro", params={name: value})
    assert caught.value.param == name
