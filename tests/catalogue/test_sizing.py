import pytest

from limner.catalogue import ModelSpec, Resolution
from limner.catalogue.sizing import fit
from limner.core import Operation, Size, Warning
from limner.errors import InvalidRequest
from tests.catalogue.make import CATALOGUE, DRAWING, ask, picture


def told(resolution: Resolution) -> list[Warning]:
    """The warnings but for those of a model that draws one area alone."""
    return [warning for warning in resolution.warnings if "brought to" not in warning.message]


def test_who_is_not_drawn_at_the_size_asked_for_is_told_so() -> None:
    assert ask("sketch").warnings == ()
    assert ask("sketch", size=Size(256, 256)).warnings == ()
    [warning] = ask("sketch", size=Size(512, 288)).warnings
    assert (warning.param, warning.code) == ("size", "adjusted")
    assert "draws 256x256 alone" in warning.message
    assert "brought to 512x288" in warning.message
    assert ask("sdxl", size=Size(512, 512)).warnings == ()


@pytest.mark.parametrize(
    ("model", "given", "drawn"),
    [
        ("Qwen/Qwen-Image", "1024x1024", "1024x1024"),
        ("Qwen/Qwen-Image", "1792x1024", "1792x1024"),
        ("Qwen/Qwen-Image", "800x600", "800x608"),
        ("Qwen/Qwen-Image", "801x599", "800x592"),
        ("Qwen/Qwen-Image", "64x64", "64x64"),
        ("sdxl", "1020x1020", "1024x1024"),
        ("sdxl", "1016x1016", "1016x1016"),
        ("sketch", "128x512", "128x512"),
        ("sketch", "130x300", "128x288"),
        ("sd15", "1531x1027", "1528x1024"),  # rounding up would be too many pixels
    ],
)
def test_given_sizes_are_snapped_with_a_warning(model: str, given: str, drawn: str) -> None:
    resolution = ask(model, size=Size.parse(given))
    assert str(resolution.request.size) == drawn
    assert [(w.param, w.code) for w in told(resolution)] == ([] if given == drawn else [("size", "adjusted")])
    assert all(given in w.message and drawn in w.message for w in told(resolution))


@pytest.mark.parametrize(
    ("model", "given", "words"),
    [
        ("sketch", "127x256", "sides from 128 to 512"),
        ("sketch", "256x513", "sides from 128 to 512"),
        ("sketch", "1x1", "sides from 128 to 512"),
        ("Qwen/Qwen-Image", "63x512", "sides from 64 to 3584"),
        ("Qwen/Qwen-Image", "2049x2049", "4,198,401 pixels. Allowed: at most 4,194,304"),
        ("Qwen/Qwen-Image", "999999x999999", "sides from 64 to 3584"),
    ],
)
def test_sizes_out_of_bounds_are_refused(model: str, given: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ask(model, size=Size.parse(given))
    assert caught.value.param == "size"
    assert given in caught.value.message
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("model", "source", "drawn"),
    [
        ("Qwen/Qwen-Image-Edit", (800, 600), "1152x864"),
        ("Qwen/Qwen-Image-Edit", (1920, 1080), "1344x768"),
        ("Qwen/Qwen-Image-Edit", (1080, 1920), "768x1344"),
        ("Qwen/Qwen-Image-Edit-2511", (500, 500), "1024x1024"),
        ("Qwen/Qwen-Image-Edit", (3000, 60), "3200x64"),
        ("sketch", (300, 300), "256x256"),
        ("sketch", (400, 200), "320x160"),
        ("sketch", (640, 480), "288x224"),
        ("sketch", (480, 640), "224x288"),
        ("sketch", (256, 128), "320x160"),
        ("sketch", (128, 256), "160x320"),
        ("sketch", (65, 64), "256x256"),
        ("sd15", (64, 64), "512x512"),
    ],
)
def test_an_edit_without_a_size_keeps_the_first_pictures_proportions(
    model: str, source: tuple[int, int], drawn: str
) -> None:
    resolution = ask(model, Operation.EDIT, inputs=(picture(*source),), prompt="a desktop wallpaper, 16:9")
    assert str(resolution.request.size) == drawn
    assert told(resolution) == []


@pytest.mark.parametrize(
    ("model", "source", "drawn"), [("sketch", (1200, 150), "512x128"), ("sdxl", (1, 4000), "64x3072")]
)
def test_proportions_that_a_model_does_not_draw_are_bounded_with_a_warning(
    model: str, source: tuple[int, int], drawn: str
) -> None:
    resolution = ask(model, Operation.EDIT, inputs=(picture(*source),))
    assert str(resolution.request.size) == drawn
    [warning] = told(resolution)
    assert (warning.param, warning.code) == ("size", "adjusted")
    assert f"{source[0]}x{source[1]}" in warning.message
    assert drawn in warning.message


@pytest.mark.parametrize(
    ("model", "source", "words"),
    [
        ("sketch", (1, 1), "1x1. Allowed: sides from 64 pixels"),
        ("sketch", (63, 400), "63x400. Allowed: sides from 64 pixels"),
        ("sketch", (4000, 1), "4000x1. Allowed: sides from 64 pixels"),
        ("flux.2-klein", (513, 64), "513x64. Allowed: the longer side at most 8 times the shorter"),
        ("flux.2-dev", (64, 520), "64x520. Allowed: the longer side at most 8 times the shorter"),
        ("Qwen/Qwen-Image-Edit", (4000, 1), "4000x1. Allowed: the longer side at most 100 times the shorter"),
    ],
)
def test_pictures_that_the_pipeline_would_refuse_late_are_refused_at_once(
    model: str, source: tuple[int, int], words: str
) -> None:
    good = picture(512, 64)
    for inputs in ((picture(*source),), (good, picture(*source))):
        if len(inputs) > CATALOGUE.get(model).max_images:
            continue
        with pytest.raises(InvalidRequest) as caught:
            ask(model, Operation.EDIT, inputs=inputs)
        assert caught.value.param == "image"
        assert words in caught.value.message
    assert ask(model, Operation.EDIT, inputs=(good,))


def test_the_picture_under_a_mask_may_have_any_size_but_not_those_beside_it() -> None:
    tiny, good = picture(9, 9), picture(64, 64)
    assert ask("sketch", Operation.INPAINT, inputs=(tiny, good), mask=tiny)
    with pytest.raises(InvalidRequest) as caught:
        ask("sketch", Operation.INPAINT, inputs=(good, tiny), mask=good)
    assert caught.value.param == "image"


@pytest.mark.parametrize(
    ("model", "prompt", "drawn"),
    [
        ("Qwen/Qwen-Image", "a cat", "1024x1024"),
        ("Qwen/Qwen-Image", "a cat, 16:9", "1344x768"),
        ("Qwen/Qwen-Image", "a cat in portrait", "832x1248"),
        ("Qwen/Qwen-Image", "a cat, 1200x800", "1200x800"),
        ("Qwen/Qwen-Image", "a cat, 8000x4000", "1408x704"),  # suggestions are never refused
        ("sketch", "a cat, 1024x768", "288x224"),
        ("sketch", "a cat, square", "256x256"),
        ("sketch", "a panorama of hills", "384x160"),
    ],
)
def test_a_drawing_without_a_size_follows_the_prompt(model: str, prompt: str, drawn: str) -> None:
    assert str(ask(model, prompt=prompt).request.size) == drawn


@pytest.mark.parametrize(
    ("model", "prompt", "drawn"),
    [
        ("sketch", "99999x99999 poster", "256x256"),
        ("sketch", "a cat, 4000x100", "512x128"),
        ("sketch", "a cat, 300x300", "288x288"),
        ("sketch", "a cat, 320x288", None),
        ("Qwen/Qwen-Image", "a cat, 1200x800", None),
        ("sketch", "a cat, 16:9", None),
        ("sketch", "a cat in portrait", None),
        ("sketch", "a cat", None),
    ],
)
def test_numbers_in_a_prompt_that_are_not_used_exactly_are_warned_about(
    model: str, prompt: str, drawn: str | None
) -> None:
    resolution = ask(model, prompt=prompt)
    if drawn is None:
        assert told(resolution) == []
        return
    [warning] = told(resolution)
    assert (warning.param, warning.code) == ("size", "adjusted")
    asked = next(word for word in prompt.split() if "x" in word).strip(",")
    assert asked in warning.message
    assert drawn in warning.message
    assert str(resolution.request.size) == drawn


@pytest.mark.parametrize("spec", DRAWING, ids=lambda spec: spec.id)
@pytest.mark.parametrize("ratio", [(1, 1), (16, 9), (9, 16), (1, 50), (50, 1), (4096, 1), (3, 4)])
def test_chosen_sizes_obey_the_rules(spec: ModelSpec, ratio: tuple[int, int]) -> None:
    operation = Operation.EDIT if Operation.EDIT in spec.operations else Operation.INPAINT
    size = fit(spec.sizes, *ratio, spec.sizes.edit_pixels)
    assert size.pixels <= spec.sizes.edit_pixels
    again = ask(spec, operation, size=size)
    assert (again.request.size, told(again)) == (size, [])
