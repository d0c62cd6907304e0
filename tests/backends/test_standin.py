"""One model drawing for another: what it is asked to draw, what comes out, and what is said of it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from limner.backends.standin import StandIn, adapted
from limner.catalogue import Catalogue, Policy, resolve
from limner.catalogue.images import operation_for
from limner.catalogue.resolve import SEVERAL
from limner.catalogue.spec import LOCAL, ParamSpec
from limner.core import Finished, Operation, ParamValue, Picture, Preview, Progress, Request, Size
from limner.errors import InvalidRequest
from tests.fakes import FakeBackend, flat

CATALOGUE = Catalogue.builtin()
SKETCH = CATALOGUE.get("sketch")
RED = bytes((255, 0, 0))


def picture(width: int = 80, height: int = 70, colour: bytes = RED) -> Picture:
    return Picture("RGB", Size(width, height), colour * (width * height))


def asked(model: str, *pictures: Picture, mask: Picture | None = None, **fields: Any) -> Request:
    """A request to ``model``, resolved by its own rules."""
    spec = CATALOGUE.get(model)
    operation = operation_for(spec, images=len(pictures), mask=mask is not None)
    request = Request(operation, model, "a red circle", inputs=pictures, mask=mask, seed=7)
    return resolve(replace(request, **fields), spec, Policy()).request


async def drawn(model: str, request: Request, backend: FakeBackend) -> Finished:
    stand_in = StandIn(CATALOGUE.get(model), SKETCH, backend)
    events = [event async for event in stand_in.generate(request)]
    assert isinstance(events[-1], Finished)
    return events[-1]


def said(model: str, request: Request, target: str = "sketch") -> dict[str, str]:
    """The code of each parameter's warning."""
    _, warnings = adapted(request, CATALOGUE.get(model), CATALOGUE.get(target))
    return {warning.param: warning.code for warning in warnings}


async def test_a_stand_in_draws_at_a_size_it_can_and_delivers_the_size_asked_for() -> None:
    backend = FakeBackend()
    request = asked("flux_pro", params={"size": "1440x768", "num_images": 2})
    finished = await drawn("flux_pro", request, backend)
    [inner] = backend.requests
    assert (inner.model, inner.n, inner.seed, str(inner.size)) == ("sketch", 2, 7, "288x160")
    assert inner.params["num_inference_steps"] == 12  # its own default
    assert [str(one.size) for one in finished.pictures] == ["1440x768", "1440x768"]
    assert isinstance(finished.pictures[0], Picture)
    assert finished.pictures[0].pixels[:3] == flat(Size(1, 1), 7).pixels  # the same picture, larger


async def test_it_says_who_drew_and_at_which_size() -> None:
    finished = await drawn("flux_pro", asked("flux_pro"), FakeBackend())
    messages = [(warning.param, warning.message) for warning in finished.warnings]
    assert messages[0] == ("model", "flux_pro is not served here: sketch stands in for it")
    assert ("size", "drawn at 256x256 and resampled to 1440x1440") in messages


async def test_a_size_that_the_stand_in_draws_is_drawn() -> None:
    backend = FakeBackend()
    request = asked("dall-e-2", size=Size(256, 256))
    finished = await drawn("dall-e-2", request, backend)
    assert backend.requests[0].size == Size(256, 256)
    assert [warning.param for warning in finished.warnings] == ["model"]


@pytest.mark.parametrize(
    ("target", "size", "inner"),
    [
        ("sketch", "1024x1024", "256x256"),  # cautious: it is not driven to its limits
        ("sketch", "512x512", "512x512"),
        ("Qwen/Qwen-Image", "4096x4096", "2048x2048"),
        ("Qwen/Qwen-Image", "6144x2688", "3072x1344"),
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", "2048x2048", "1248x1248"),
    ],
)
def test_the_nearest_size_depends_on_who_draws(target: str, size: str, inner: str) -> None:
    request = replace(asked("nano_banana2"), size=Size.parse(size))
    made, _ = adapted(request, CATALOGUE.get("nano_banana2"), CATALOGUE.get(target))
    assert str(made.size) == inner


async def test_previews_and_progress_pass_through() -> None:
    request = replace(asked("flux_pro", params={"size": "640x480"}), previews=1)
    events = [event async for event in StandIn(CATALOGUE.get("flux_pro"), SKETCH, FakeBackend()).generate(request)]
    assert isinstance(events[0], Progress)
    [preview] = [event for event in events if isinstance(event, Preview)]
    assert preview.picture.size == Size(640, 480)


def test_parameters_that_both_have_are_passed_on_within_bounds_and_others_are_named() -> None:
    params = {"guidance_scale": 7.5, "num_inference_steps": 50, "acceleration": "high", "negative_prompt": "blue"}
    request = asked("qwen_image_edit", picture(), params=params)
    made, warnings = adapted(request, CATALOGUE.get("qwen_image_edit"), SKETCH)
    own = {"sampler": "Euler"}
    assert made.params == {"num_inference_steps": 50, "guidance_scale": 7.5, "negative_prompt": "blue", **own}
    assert {w.param: w.code for w in warnings} == {"model": "adjusted", "size": "adjusted", "acceleration": "ignored"}


def test_a_value_out_of_the_stand_ins_bounds_becomes_the_nearest_one() -> None:
    request = asked("Qwen/Qwen-Image", params={"num_inference_steps": 180})
    made, warnings = adapted(request, CATALOGUE.get("Qwen/Qwen-Image"), SKETCH)
    assert made.params["num_inference_steps"] == 50
    [told] = [warning for warning in warnings if warning.param == "num_inference_steps"]
    assert (told.code, told.message) == ("adjusted", "'num_inference_steps': 180 became 50 for the stand-in")


def test_a_value_below_the_stand_ins_least_becomes_it_even_where_that_is_nought() -> None:
    param = ParamSpec("blur", "number", "How soft.", minimum=0.0, maximum=1.0)
    wide = replace(param, minimum=-1.0)
    spec, target = (replace(SKETCH, params={**SKETCH.params, "blur": one}) for one in (wide, param))
    request = replace(asked("sketch"), params={"blur": -0.5})
    made, warnings = adapted(request, spec, target)
    assert made.params["blur"] == 0
    assert "'blur': -0.5 became 0.0 for the stand-in" in [warning.message for warning in warnings]


def test_a_choice_among_others_means_nothing_to_the_stand_in() -> None:
    request = asked("sd-1.5", params={"sampler": "Euler"})
    inner, _ = adapted(request, CATALOGUE.get("sd-1.5"), SKETCH)
    assert inner.params["sampler"] == "Euler a"  # what sketch draws with, whatever suits the other model
    assert said("sd-1.5", request)["sampler"] == "ignored"
    among = asked("sdxl", params={"sampler": "Heun"})
    assert adapted(among, CATALOGUE.get("sdxl"), CATALOGUE.get("sd-1.5"))[0].params["sampler"] == "Heun"


def test_nobody_misses_defaults() -> None:
    assert said("Qwen/Qwen-Image", asked("Qwen/Qwen-Image", size=Size(256, 256))) == {"model": "adjusted"}
    assert "mode" not in said("flux_kontext", asked("flux_kontext"))
    assert said("flux_kontext", asked("flux_kontext", params={"mode": "max"}))["mode"] == "ignored"


def test_surplus_references_are_left_out_with_a_warning() -> None:
    request = asked("nano_banana2", *[picture() for _ in range(5)])
    made, warnings = adapted(request, CATALOGUE.get("nano_banana2"), SKETCH)
    assert len(made.inputs) == 2
    [told] = [warning for warning in warnings if warning.param == "image"]
    assert told.message == "3 of 5 input pictures were left out: sketch takes 2"


def test_pictures_that_the_stand_in_could_not_look_at_are_brought_to_a_size_that_it_can() -> None:
    request = asked("gemini_native", picture(900, 30))
    made, _ = adapted(request, CATALOGUE.get("gemini_native"), SKETCH)
    assert made.inputs[0].size == Size(900, 113)
    small, _ = adapted(asked("gemini_native", picture(9, 9)), CATALOGUE.get("gemini_native"), SKETCH)
    assert small.inputs[0].size == Size(64, 64)


def test_what_a_stand_in_draws_over_is_left_as_it_is() -> None:
    request = asked("sdxl", picture(9, 9), operation=Operation.VARY)
    made, _ = adapted(request, CATALOGUE.get("sdxl"), SKETCH)
    assert made.operation is Operation.VARY
    assert made.inputs[0].size == Size(9, 9)


async def test_what_a_mask_keeps_is_the_original_at_the_size_asked_for() -> None:
    left = Picture("L", Size(80, 70), (b"\xff" * 40 + b"\0" * 40) * 70)
    request = asked("flux_pro_fill", picture(), mask=left)
    finished = await drawn("flux_pro_fill", request, FakeBackend())
    [result] = finished.pictures
    assert isinstance(result, Picture)
    assert result.size == request.size
    width = result.size.width_px
    assert result.pixels[width * 3 - 3 : width * 3] == RED
    assert result.pixels[:3] == flat(Size(1, 1), 7).pixels


async def test_enlarging_is_drawn_as_an_edit_and_has_the_size_asked_for() -> None:
    backend = FakeBackend()
    request = asked("magnific", picture(100, 80), params={"scale_factor": "4x", "creativity": 3})
    finished = await drawn("magnific", request, backend)
    assert backend.requests[0].operation is Operation.EDIT
    assert [str(one.size) for one in finished.pictures] == ["400x320"]
    assert {w.param: w.code for w in finished.warnings}.items() >= {
        "operation": "adjusted",
        "creativity": "ignored",
    }.items()


@pytest.mark.parametrize(
    ("model", "target", "words"),
    [
        ("flux_pro_fill", "flux.2-dev", "FLUX.2-dev, which stands in for flux_pro_fill, cannot inpaint"),
        ("flux_pro", "Qwen/Qwen-Image-Edit", "cannot generate. Allowed: edit, inpaint"),
        ("magnific", "flux-fill", "cannot upscale. Allowed: inpaint"),
    ],
)
def test_what_the_stand_in_cannot_do_is_refused_clearly(model: str, target: str, words: str) -> None:
    spec = CATALOGUE.get(model)
    mask = Picture("L", Size(80, 70), bytes(5600)) if Operation.INPAINT in spec.operations else None
    request = asked(model, *([picture()] if spec.max_images else []), mask=mask)
    with pytest.raises(InvalidRequest) as caught:
        adapted(request, spec, CATALOGUE.get(target))
    assert caught.value.param == "operation"
    assert words in caught.value.message


DRAWN = [spec for spec in CATALOGUE.models() if spec.loads is None or spec.loads.backend == LOCAL]
TOLD: dict[Operation, dict[str, ParamValue]] = {
    Operation.OUTPAINT: {"left": 9},
    Operation.REGION_EDIT: {"region": "hat"},
}


@pytest.mark.parametrize("spec", DRAWN, ids=lambda spec: spec.id)
def test_the_embedded_model_can_stand_in_for_every_model_and_operation(spec: Any) -> None:
    for operation in spec.sorted_operations:
        count = 0 if operation is Operation.GENERATE else max(spec.max_images, 1) if operation in SEVERAL else 1
        mask = Picture("L", Size(80, 70), b"\xff" * 5600) if operation is Operation.INPAINT else None
        params = TOLD.get(operation, {})
        request = Request(operation, spec.id, "a red circle", inputs=(picture(),) * count, mask=mask, params=params)
        made, warnings = adapted(resolve(request, spec, Policy()).request, spec, SKETCH)
        assert made.operation in SKETCH.operations
        assert (spec.id == "sketch") or warnings[0].param == "model"


def test_what_keeps_to_the_pictures_pixels_does_so_when_another_model_draws() -> None:
    spec = CATALOGUE.get("Qwen/Qwen-Image")
    for operation, size in ((Operation.OUTPAINT, Size(89, 70)), (Operation.REGION_EDIT, Size(80, 70))):
        request = asked(spec.id, picture(), operation=operation, params=TOLD[operation])
        made, _ = adapted(request, spec, SKETCH)
        assert (made.size, made.inputs, made.operation) == (size, (picture(),), operation)
        assert TOLD[operation].items() <= made.params.items()


async def test_cancelling_reaches_the_model_that_draws() -> None:
    backend = FakeBackend(delay_s=10)
    events = StandIn(CATALOGUE.get("flux_pro"), SKETCH, backend).generate(asked("flux_pro"))
    first = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.05)
    first.cancel()
    await asyncio.wait({first})
    await events.aclose()
    assert backend.cancelled == 1


def test_a_stand_in_is_as_well_as_the_model_that_draws() -> None:
    backend = FakeBackend(healthy=False)
    assert not StandIn(CATALOGUE.get("flux_pro"), SKETCH, backend).healthy
