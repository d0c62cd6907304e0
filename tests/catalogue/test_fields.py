"""Parameters that are other names for a request's own fields."""

from typing import Any

import pytest

from limner.core import Operation, Size
from limner.errors import InvalidRequest, MissingParameter
from tests.catalogue.make import ask, ask_with, picture


def test_values_move_to_the_fields_and_out_of_the_parameters() -> None:
    params = {"num_images": 3, "seed": 5, "prompt": "a fox", "size": "640x480"}
    request = ask("flux_pro", prompt="", params=params).request
    assert (request.n, request.seed, request.prompt, request.size) == (3, 5, "a fox", Size(640, 480))
    assert dict(request.params) == {}


def test_formats_move_too() -> None:
    assert ask_with("black-forest-labs/FLUX-2-pro", output_format="jpeg").request.output.format == "jpeg"


@pytest.mark.parametrize(
    ("fields", "params", "param"),
    [
        ({"n": 2}, {"num_images": 3}, "num_images"),
        ({"seed": 2}, {"seed": 3}, "seed"),
        ({"size": Size(640, 480)}, {"size": "1024x1024"}, "size"),
    ],
)
def test_a_field_that_is_given_twice_is_refused(fields: dict[str, Any], params: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest, match="is given twice") as caught:
        ask("flux_pro", params=params, **fields)
    assert caught.value.param == param


def test_a_field_that_is_given_twice_alike_is_taken() -> None:
    request = ask("flux_pro", n=2, seed=3, size=Size(640, 480), params={"num_images": 2, "seed": 3, "size": "640x480"})
    assert (request.request.n, request.request.seed) == (2, 3)


def test_sides_that_contradict_a_size_are_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        ask("black-forest-labs/FLUX-2-pro", size=Size(512, 512), params={"width": 1024})
    assert caught.value.param == "width"


def test_a_prompt_among_the_parameters_is_the_nearer_one() -> None:
    resolution = ask("flux_pro", prompt="hello there", params={"prompt": "a fox"})
    assert resolution.request.prompt == "a fox"
    assert ("prompt", "adjusted") in [(warning.param, warning.code) for warning in resolution.warnings]
    assert not [w for w in ask("flux_pro", prompt="a fox", params={"prompt": "a fox"}).warnings if w.param == "prompt"]


@pytest.mark.parametrize(("value", "seed"), [(0, 0), (2**63 - 1, 2**63 - 1), (-1, 2**32 - 1), (2**63, 0)])
def test_any_integer_is_a_seed_where_the_documents_say_so(value: int, seed: int) -> None:
    resolution = ask_with("flux_pro", seed=value)
    assert resolution.request.seed == seed
    told = [warning.code for warning in resolution.warnings if warning.param == "seed"]
    assert told == ([] if seed == value else ["adjusted"])


def test_a_seed_leaves_room_for_those_that_follow_it() -> None:
    assert ask_with("flux_pro", seed=2**63 - 1, num_images=4).request.seed == (2**63 - 1) % 2**32


def test_a_default_size_is_used_unless_it_has_no_effect() -> None:
    assert ask("gpt_image").request.size == Size(1024, 1024)
    wide = ask("gpt_image", Operation.EDIT, inputs=(picture(300, 200),))
    assert wide.request.size == Size(1536, 1024)  # of the sizes it draws the one most like the picture
    assert ask("gpt_image_edit", Operation.EDIT, inputs=(picture(300, 200),)).request.size == Size(1024, 1024)


def test_an_open_size_is_not_the_default() -> None:
    assert ask("openai/gpt-image-1.5-T2I", prompt="a cat, 3:2", params={"size": "auto"}).request.size == Size(
        1536, 1024
    )
    assert ask("openai/gpt-image-1.5-T2I", prompt="a cat, 3:2").request.size == Size(1024, 1024)


def test_enlarging_needs_a_prompt_where_the_table_says_so() -> None:
    with pytest.raises(MissingParameter) as caught:
        ask("magnific", Operation.UPSCALE, prompt=" ")
    assert caught.value.param == "prompt"


@pytest.mark.parametrize("prompt", ["a cat --ar 3:2", "--v 6", "like https://example.org/a.png", "HTTP://x"])
def test_midjourneys_prompts_hold_no_flags_and_no_urls(prompt: str) -> None:
    for fields in ({"prompt": prompt}, {"params": {"negative_prompt": prompt}}, {"params": {"prompt": prompt}}):
        with pytest.raises(InvalidRequest, match=r"Allowed: text .* without URLs or --flags"):
            ask("midjourney", **fields)
    assert ask("midjourney", prompt="a well-lit cat -- asleep")


def test_a_mask_is_no_text() -> None:
    with pytest.raises(InvalidRequest) as caught:
        ask("flux_pro_fill", Operation.INPAINT, params={"mask": "data:,"})
    assert caught.value.param == "mask"
