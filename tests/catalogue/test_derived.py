"""Operations that follow from a model's own, what they are told and which size comes out."""

from collections.abc import Mapping

import pytest

from limner.catalogue import Catalogue, Resolution, describe
from limner.catalogue.derived import DERIVED, basis
from limner.core import Operation, ParamValue, Size
from limner.errors import InvalidRequest, MissingParameter, UnknownParameter
from tests.catalogue.make import CATALOGUE, DRAWING, MODELS, ask, picture

OUT, REGION, VARY = DERIVED


SQUARE = Size(256, 256)


def extended(params: Mapping[str, ParamValue], model: str = "sketch", size: Size = SQUARE) -> Resolution:
    given = picture(size.width_px, size.height_px)
    return ask(model, OUT, inputs=(given,), params={"right": 0, **params}, prompt="")


def test_a_model_that_inpaints_extends_and_changes_regions_and_one_that_edits_varies() -> None:
    for spec in DRAWING:
        paints = Operation.INPAINT in spec.operations
        assert {OUT, REGION} <= spec.operations if paints else not {OUT, REGION} & spec.operations
        assert (VARY in spec.operations) == bool({Operation.EDIT, Operation.INPAINT} & spec.operations)


def test_only_models_that_draw_here_gain_operations() -> None:
    assert not [spec.id for spec in MODELS if spec not in DRAWING and set(DERIVED) & spec.operations]
    assert CATALOGUE.get("gpt_image").operations >= {Operation.INPAINT}


@pytest.mark.parametrize(
    ("model", "operation", "by"),
    [
        ("sketch", OUT, Operation.INPAINT),
        ("sketch", REGION, Operation.INPAINT),
        ("sketch", VARY, Operation.INPAINT),
        ("sdxl", VARY, Operation.EDIT),
        ("Qwen/Qwen-Image-Edit-2511", VARY, Operation.EDIT),
        ("flux-fill", VARY, Operation.INPAINT),
        ("Qwen/Qwen-Image-Edit-2511", OUT, None),
        ("sketch", Operation.EDIT, None),
        ("sketch", Operation.UPSCALE, None),
    ],
)
def test_what_an_operation_is_done_by(model: str, operation: Operation, by: Operation | None) -> None:
    assert basis(CATALOGUE.get(model), operation) is by


def test_the_descriptor_shows_them_with_their_parameters() -> None:
    entry = describe(CATALOGUE.get("sketch"))
    assert entry["operations"] == ["generate", "edit", "inpaint", "outpaint", "region_edit", "vary"]
    parameters = entry["parameters"]
    assert isinstance(parameters, dict)
    assert {"left", "right", "top", "bottom", "feather", "region", "strength"} <= set(parameters)
    assert not {"left", "region"} & set(CATALOGUE.get("Qwen/Qwen-Image-Edit-2511").params)


def test_defaults_are_those_of_what_an_operation_is_done_by() -> None:
    turbo = ask("sdxl-turbo", REGION).request.params
    assert (turbo["num_inference_steps"], turbo["strength"]) == (4, 0.99)
    assert extended({"right": 64}, "sdxl").request.params["strength"] == 0.9
    assert ask("sdxl", VARY).request.params["strength"] == 0.7
    assert "strength" not in ask("Qwen/Qwen-Image-Edit-2511", VARY).request.params


def test_a_models_own_default_comes_before_the_shared_one() -> None:
    assert extended({"right": 64}).request.params["strength"] == 0.8
    assert extended({"right": 64}, "flux-fill").request.params["strength"] == 1.0


def test_sides_are_needed_and_named() -> None:
    nothing: dict[str, ParamValue] = {}
    for params in (nothing, {"left": 0, "bottom": 0}):
        with pytest.raises(
            MissingParameter, match=r"'left', 'right', 'top' or 'bottom' \(outpaint adds pixels"
        ) as caught:
            extended(params)
        assert caught.value.param == "left"


@pytest.mark.parametrize(
    ("name", "value"), [("left", -1), ("right", 4097), ("top", 1.5), ("feather", -1), ("feather", 513)]
)
def test_sides_and_feather_have_bounds(name: str, value: ParamValue) -> None:
    with pytest.raises(InvalidRequest, match=f"'{name}'") as caught:
        extended({"bottom": 1, name: value})
    assert caught.value.param == name


@pytest.mark.parametrize("region", [None, "", " \n"])
def test_a_region_is_needed(region: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ask("sketch", REGION, params={"region": region})
    assert caught.value.param == "region"


def test_parameters_stay_with_their_operation() -> None:
    with pytest.raises(UnknownParameter, match="'left' applies to outpaint, not to edit"):
        ask("sketch", Operation.EDIT, params={"left": 5})
    with pytest.raises(UnknownParameter, match="'region' applies to region_edit, not to inpaint"):
        ask("sketch", Operation.INPAINT, params={"region": "hat"})


@pytest.mark.parametrize(("operation", "needed"), [(OUT, False), (REGION, True), (VARY, False)])
def test_which_needs_a_prompt(operation: Operation, needed: bool) -> None:
    if needed:
        with pytest.raises(MissingParameter, match="'prompt'"):
            ask("sketch", operation, prompt=" ")
    else:
        assert ask("sketch", operation, prompt="").request.prompt == ""


@pytest.mark.parametrize("operation", DERIVED)
def test_none_takes_a_mask(operation: Operation) -> None:
    with pytest.raises(InvalidRequest, match="takes no mask; ask for 'inpaint'"):
        ask("sketch", operation, mask=picture())


@pytest.mark.parametrize("operation", [OUT, VARY])
def test_one_picture_is_extended_or_varied_at_a_time(operation: Operation) -> None:
    with pytest.raises(InvalidRequest, match=f"2 pictures. Allowed: {operation.value} takes one") as caught:
        ask("sketch", operation, inputs=(picture(), picture()))
    assert caught.value.param == "image"
    assert len(ask("sketch", REGION, inputs=(picture(), picture())).request.inputs) == 2


@pytest.mark.parametrize(
    ("model", "size", "params", "drawn"),
    [
        ("sketch", Size(256, 256), {"right": 128}, "384x256"),
        ("sketch", Size(100, 90), {"left": 7, "top": 1, "bottom": 2}, "107x93"),
        ("Qwen/Qwen-Image", Size(1000, 700), {"left": 300, "right": 300}, "1600x700"),
    ],
)
def test_an_extended_picture_is_as_large_as_itself_and_its_sides(
    model: str, size: Size, params: dict[str, ParamValue], drawn: str
) -> None:
    resolution = extended(params, model, size)
    assert str(resolution.request.size) == drawn
    assert resolution.warnings == ()


@pytest.mark.parametrize(
    ("size", "params", "drawn"),
    [
        (Size(512, 512), {"right": 512}, "512x256"),
        (Size(700, 500), {"top": 300, "bottom": 200}, "358x512"),
        (Size(400, 100), {"left": 4096}, "512x11"),
    ],
)
def test_what_is_more_than_the_model_draws_is_scaled_down_with_a_warning(
    size: Size, params: dict[str, ParamValue], drawn: str
) -> None:
    resolution = extended(params, "sketch", size)
    assert str(resolution.request.size) == drawn
    [warning] = [warning for warning in resolution.warnings if warning.code == "adjusted"]
    assert warning.param == "size"
    assert drawn in warning.message


def test_a_size_beside_new_sides_is_not_used_and_said_so() -> None:
    resolution = ask("sketch", OUT, inputs=(picture(256, 256),), size=Size(512, 512))
    assert str(resolution.request.size) == "320x256"
    assert ("size", "ignored") in [(warning.param, warning.code) for warning in resolution.warnings]


@pytest.mark.parametrize("size", [Size(256, 256), Size(301, 77), Size(4000, 3000), Size(20, 20)])
def test_a_region_edit_keeps_its_pictures_size_unless_another_is_asked_for(size: Size) -> None:
    given = picture(size.width_px, size.height_px)
    assert ask("sketch", REGION, inputs=(given,)).request.size == size
    assert str(ask("sketch", REGION, inputs=(given,), size=Size(320, 256)).request.size) == "320x256"


def test_a_variation_is_sized_as_an_edit() -> None:
    given = (picture(400, 200),)
    assert ask("sketch", VARY, inputs=given).request.size == ask("sketch", Operation.EDIT, inputs=given).request.size


def test_a_variation_that_is_drawn_over_its_picture_takes_any() -> None:
    assert ask("sketch", VARY, inputs=(picture(20, 20),)).request.operation is VARY
    assert ask("sketch", VARY, inputs=(picture(1200, 100),)).request.operation is VARY
    with pytest.raises(InvalidRequest, match="sides from 64 pixels"):
        ask("black-forest-labs/FLUX.2-dev", VARY, inputs=(picture(20, 20),))


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("protolabs/qwen-image-inpaint", Operation.INPAINT),
        ("PROTOLABS/qwen-image-outpaint", OUT),
        ("protolabs/qwen-image-region-edit", REGION),
        ("protolabs/qwen-image-bgremove", Operation.REMOVE_BACKGROUND),
        ("protolabs/qwen-image-bgremove-rmbg", Operation.REMOVE_BACKGROUND),
        ("limner/describe", Operation.DESCRIBE),
        ("limner/auto", None),
        ("sketch", None),
        ("nothing", None),
    ],
)
def test_names_that_ask_for_an_operation_themselves(name: str, operation: Operation | None) -> None:
    assert CATALOGUE.operation_of(name) is operation


def test_such_a_name_is_data() -> None:
    line = 'family = "x"\nvirtual = [{ id = "mine", title = "Mine", operation = "upscale" }]'
    assert Catalogue.of_files({"x.toml": line}).operation_of("mine") is Operation.UPSCALE


class TestDescribing:
    READER = next(spec for spec in MODELS if Operation.DESCRIBE in spec.operations)

    @pytest.mark.parametrize(("count", "asked"), [(1, "What is in this picture?"), (2, "What is in these pictures?")])
    def test_pictures_alone_ask_what_is_in_them(self, count: int, asked: str) -> None:
        resolution = ask(self.READER, Operation.DESCRIBE, prompt=" ", inputs=(picture(),) * count)
        assert resolution.request.prompt == asked

    def test_a_question_stays_as_it_is(self) -> None:
        assert ask(self.READER, Operation.DESCRIBE, prompt="how many?").request.prompt == "how many?"

    def test_words_alone_are_enough_and_nothing_is_not(self) -> None:
        assert ask(self.READER, Operation.DESCRIBE, prompt="hello", inputs=()).request.inputs == ()
        with pytest.raises(MissingParameter, match="'prompt'"):
            ask(self.READER, Operation.DESCRIBE, prompt="", inputs=())
