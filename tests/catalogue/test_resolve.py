"""The resolver's own rules, on models made for the purpose where the shipped ones have no such rule yet."""

from dataclasses import replace

import pytest

from limner.catalogue import ModelSpec, ParamSpec, Policy, effective, resolve
from limner.config import Settings
from limner.core import Lora, Operation, ParamValue, Request, Size
from limner.errors import InvalidRequest, MissingParameter, UnknownParameter
from tests.catalogue.make import CATALOGUE, POLICY, ask, ask_with, picture, request

SKETCH = CATALOGUE.get("sketch")
EDIT = CATALOGUE.get("Qwen/Qwen-Image-Edit")


def with_params(*params: ParamSpec) -> ModelSpec:
    return replace(SKETCH, params={**SKETCH.params, **{param.name: param for param in params}})


def refused(spec: ModelSpec, asked: Request, policy: Policy = POLICY) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        resolve(asked, spec, policy)
    return caught.value


def test_fills_in_everything() -> None:
    resolution = resolve(request(), SKETCH, POLICY)
    asked = resolution.request
    assert asked.model == "sketch"
    assert asked.size == Size(256, 256)
    assert asked.seed is not None
    assert 0 <= asked.seed < 2**32
    assert asked.params == {"num_inference_steps": 12, "guidance_scale": 3.0, "sampler": "Euler a"}
    assert resolution.warnings == ()


def test_random_seeds_differ() -> None:
    assert len({resolve(request(), SKETCH, POLICY).request.seed for _ in range(20)}) > 15


class TestOperations:
    def test_one_that_the_model_lacks(self) -> None:
        error = refused(EDIT, request())
        assert (
            error.message == "Qwen/Qwen-Image-Edit cannot generate. Allowed: edit, inpaint, outpaint, region_edit, vary"
        )
        assert error.param == "operation"

    def test_too_many_pictures_come_before_anything_else(self) -> None:
        asked = request(Operation.UPSCALE, inputs=(picture(),) * 5, prompt="", n=99)
        assert "5 pictures. Allowed for sketch: at most 2" in refused(SKETCH, asked).message
        assert "at most 1" in refused(SKETCH, asked, Policy(max_images=1)).message

    def test_pictures_and_masks_belong_to_their_operations(self) -> None:
        assert "takes no input pictures, 1 given" in refused(SKETCH, request(inputs=(picture(),))).message
        assert isinstance(refused(SKETCH, request(Operation.EDIT, inputs=())), MissingParameter)
        assert isinstance(refused(SKETCH, request(Operation.INPAINT, mask=None)), MissingParameter)
        assert refused(SKETCH, request(Operation.EDIT, mask=picture())).param == "mask"
        assert refused(SKETCH, request(mask=picture())).param == "mask"

    def test_a_mask_of_another_size_names_both(self) -> None:
        error = refused(SKETCH, request(Operation.INPAINT, mask=picture(32, 64)))
        assert error.param == "mask"
        assert "it is 32x64 and the first picture is 64x64" in error.message


class TestFields:
    @pytest.mark.parametrize("prompt", ["", " ", "\n\t ", "\u2003"])
    def test_blank_prompts(self, prompt: str) -> None:
        error = refused(SKETCH, request(prompt=prompt))
        assert isinstance(error, MissingParameter)
        assert error.param == "prompt"

    def test_long_prompts(self) -> None:
        assert ask("sketch", prompt="x" * 32_000)
        assert "32,001 characters" in refused(SKETCH, request(prompt="x" * 32_001)).message

    @pytest.mark.parametrize("n", [0, -1, 11, True, 1.5, "2", None])
    def test_numbers_of_pictures_that_are_refused(self, n: object) -> None:
        error = refused(SKETCH, request(n=n))
        assert error.param == "n"
        assert "integer from 1 to 10" in error.message

    @pytest.mark.parametrize("seed", [0, 1, 2**32, 2**63 - 1])
    def test_seeds_that_are_taken(self, seed: int) -> None:
        assert ask("sketch", seed=seed).request.seed == seed

    @pytest.mark.parametrize("seed", [-1, 2**63, True, False, 1.0, "1"])
    def test_seeds_that_are_refused(self, seed: object) -> None:
        error = refused(SKETCH, request(seed=seed))
        assert error.param == "seed"
        assert "integer from 0 to 9223372036854775807" in error.message

    def test_the_last_of_n_seeds_must_be_valid_too(self) -> None:
        assert ask("sketch", seed=2**63 - 3, n=3)
        assert refused(SKETCH, request(seed=2**63 - 2, n=3)).param == "seed"

    @pytest.mark.parametrize("previews", [-1, 4, True, 1.0])
    def test_previews(self, previews: object) -> None:
        assert refused(SKETCH, request(previews=previews)).param == "partial_images"

    @pytest.mark.parametrize(
        ("model", "operation", "params", "previews", "most"),
        [
            ("sketch", Operation.GENERATE, {"num_inference_steps": 1}, 3, 0),
            ("sketch", Operation.GENERATE, {"num_inference_steps": 3}, 3, 2),
            ("sketch", Operation.GENERATE, {"num_inference_steps": 4}, 3, None),
            ("sketch", Operation.GENERATE, {"num_inference_steps": 1}, 0, None),
            ("sketch", Operation.INPAINT, {"num_inference_steps": 10, "strength": 0.2}, 2, 1),
            ("sketch", Operation.INPAINT, {"num_inference_steps": 10, "strength": 0.3}, 2, None),
            ("sdxl-turbo", Operation.GENERATE, {}, 1, 0),
        ],
    )
    def test_previews_beyond_the_steps_are_warned_about(
        self, model: str, operation: Operation, params: dict[str, ParamValue], previews: int, most: int | None
    ) -> None:
        warnings = ask(model, operation, params=params, previews=previews).warnings
        assert [(w.param, w.code) for w in warnings] == ([] if most is None else [("partial_images", "adjusted")])
        assert all(f"at most {most}" in w.message for w in warnings)

    @pytest.mark.parametrize("timeout_s", [0, -1, 3601, float("nan"), float("inf"), "9", True])
    def test_timeouts_that_are_refused(self, timeout_s: object) -> None:
        error = refused(SKETCH, request(timeout_s=timeout_s))
        assert error.param == "timeout"
        assert "at most 3600 seconds" in error.message

    def test_timeouts_that_are_taken(self) -> None:
        assert ask("sketch", timeout_s=0.001).request.timeout_s == 0.001
        assert ask("sketch", timeout_s=3600).request.timeout_s == 3600

    def test_work(self) -> None:
        asked = request(n=2, size=Size(256, 256), params={"num_inference_steps": 10})
        assert resolve(asked, SKETCH, Policy(max_work=2 * 256 * 256 * 10))
        error = refused(SKETCH, asked, Policy(max_work=2 * 256 * 256 * 10 - 1))
        assert "256x256 x n=2 x 10 steps = 1,310,720" in error.message
        assert "at most 1,310,719" in error.message


class TestParameters:
    def test_unknown_ones_are_refused_listing_what_there_is(self) -> None:
        with pytest.raises(UnknownParameter) as caught:
            ask_with("sketch", stpes=9)
        assert caught.value.param == "stpes"
        assert caught.value.message == (
            "Unknown parameter 'stpes' for sketch. "
            "Allowed: num_inference_steps, guidance_scale, negative_prompt, sampler; "
            "with every model: prompt, n, size, seed, output_format, output_compression, background, timeout"
        )

    @pytest.mark.parametrize(
        ("written", "meant"), [("sead", "seed"), ("num_inference_step", "num_inference_steps"), ("widht", None)]
    )
    def test_the_likely_one_is_named(self, written: str, meant: str | None) -> None:
        message = refused(SKETCH, request(params={written: 1})).message
        assert ("did you mean" in message) == (meant is not None)
        assert meant is None or f"did you mean {meant!r}?" in message

    def test_what_only_other_models_have_is_not_offered(self) -> None:
        complete = with_params(
            ParamSpec("prompt", "string", "", field="prompt"), ParamSpec("num_images", "integer", "")
        )
        message = refused(complete, request(params={"background": "opaque"})).message
        assert message.endswith("sampler, prompt, num_images")

    def test_names_of_unknown_ones_are_shortened(self) -> None:
        assert len(refused(SKETCH, request(params={"x" * 10_000: 1})).message) < 400

    def test_or_answered_with_a_warning(self) -> None:
        lenient = Policy(unknown_parameters="warn")
        resolution = resolve(request(params={"stpes": 9, "strength": 0.5}), SKETCH, lenient)
        assert [(w.param, w.code) for w in resolution.warnings] == [("stpes", "ignored"), ("strength", "ignored")]
        assert set(resolution.request.params) == {"num_inference_steps", "guidance_scale", "sampler"}

    def test_none_counts_as_absent_even_for_unknown_ones(self) -> None:
        resolution = ask_with("sketch", guidance_scale=None, no_such=None, lora=())
        assert resolution.request.params["guidance_scale"] == 3.0
        assert resolution.warnings == ()

    def test_required(self) -> None:
        spec = with_params(ParamSpec("mode", "enum", "", choices=("pro", "max"), required=True))
        assert refused(spec, request()).message == "Missing required parameter: 'mode'"
        assert ask_with(spec, mode="max").request.params["mode"] == "max"

    def test_ignored_when_pictures_are_given(self) -> None:
        quality = ParamSpec("quality", "enum", "", default="auto", choices=("auto", "low"), ignored_when="inputs")
        spec = with_params(quality)
        assert ask_with(spec, quality="low").request.params["quality"] == "low"
        edited = ask_with(spec, Operation.EDIT, quality="low")
        assert "quality" not in edited.request.params
        assert [w.message for w in edited.warnings] == [
            "'quality' has no effect: it is not used when 'inputs' is given"
        ]
        assert ask(spec, Operation.EDIT).warnings == ()

    def test_ignored_when_another_parameter_is_given(self) -> None:
        spec = with_params(
            ParamSpec("raw", "boolean", "", default=False, ignored_when="preset"),
            ParamSpec("preset", "string", "", maximum=9),
        )
        resolution = ask_with(spec, raw=True, preset="film")
        assert "raw" not in resolution.request.params
        assert [w.param for w in resolution.warnings] == ["raw"]

    def test_request_fields_that_a_model_ignores(self) -> None:
        spec = with_params(
            ParamSpec("n", "integer", "", ignored_when="inputs"),
            ParamSpec("size", "string", "", ignored_when="inputs"),
            ParamSpec("seed", "integer", "", ignored="the provider draws its own"),
        )
        resolution = ask(spec, Operation.EDIT, n=3, size=Size(128, 128), seed=5)
        assert resolution.request.n == 1
        assert resolution.request.size == Size(256, 256)
        assert [w.param for w in resolution.warnings] == ["n", "size", "seed"]
        drawn = ask(spec, n=3, size=Size(128, 128))
        assert (drawn.request.n, drawn.request.size) == (3, Size(128, 128))

    def test_adapters(self) -> None:
        loras = (Lora("some/adapter", 0.8),)
        resolution = ask_with("sdxl", lora=loras)
        assert resolution.request.params["lora"] == loras
        assert effective(resolution.request, resolution.spec)["lora"] == [
            {"path": "some/adapter", "scale": 0.8, "name": None}
        ]


def test_sizes_of_a_model_that_draws_only_some() -> None:
    choices = (Size(1024, 1024), Size(1536, 1024), Size(1024, 1536))
    spec = replace(SKETCH, sizes=replace(SKETCH.sizes, default=choices[0], choices=choices))
    assert ask(spec, size=choices[1]).request.size == choices[1]
    assert "Allowed: 1024x1024, 1536x1024, 1024x1536" in refused(spec, request(size=Size(1000, 1000))).message
    assert ask(spec, prompt="a cat, 16:9").request.size == choices[1]
    assert ask(spec, Operation.EDIT, inputs=(picture(300, 400),)).request.size == choices[2]


def test_echoes_what_takes_effect() -> None:
    resolution = ask("Tongyi-MAI/Z-Image-Turbo", seed=7, n=3, params={"guidance_scale": 9})
    assert effective(resolution.request, resolution.spec) == {
        "size": "1024x1024",
        "seed": 7,
        "seeds": [7, 8, 9],
        "num_inference_steps": 9,
        "guidance_scale": 0.0,
    }


def test_policy_of_settings() -> None:
    settings = Settings.model_validate(
        {"unknown_parameters": "warn", "default_timeout_s": 5, "max_timeout_s": 5, "max_images": 3, "max_work": 7}
    )
    assert Policy.of(settings) == Policy("warn", 5, 3, 7)
    assert Policy.of(Settings.model_validate({})) == Policy()
