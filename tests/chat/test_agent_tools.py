"""Calls of tools as decisions, and what a language model is told of the tools."""

from typing import Any

import pytest

from limner.chat.agent_album import Album
from limner.chat.agent_tools import TOOLS, Toolbox
from limner.chat.conversation import Conversation, Shown, Turn
from limner.chat.decision import Abilities, Decision
from limner.core import Operation, ParamValue, Size
from limner.errors import InvalidRequest
from tests.chat.scripted import EVERYTHING, call, said

PHOTOS = said("look", "data:a", "data:b", "data:c")
MASK = Shown("data:mask", "user", "mask")
MASKED = Conversation((*PHOTOS.turns, Turn("user", "there", (MASK,))))


def decided(tool: str, **arguments: Any) -> Decision:
    return Toolbox(EVERYTHING, Album(MASKED)).decide(call(tool, **arguments))


def names(abilities: Abilities, conversation: Conversation = MASKED) -> set[str]:
    return {schema["function"]["name"] for schema in Toolbox(abilities, Album(conversation)).schemas()}


@pytest.mark.parametrize(
    ("tool", "arguments", "operation", "prompt", "sources", "params"),
    [
        ("generate_image", {"prompt": " a cat "}, Operation.GENERATE, "a cat", "", {}),
        ("edit_image", {"image": 2, "instruction": "blue"}, Operation.EDIT, "blue", "b", {}),
        (
            "region_edit",
            {"image": 1, "region": "the tie", "instruction": "a red tie"},
            Operation.REGION_EDIT,
            "a red tie",
            "a",
            {"region": "the tie"},
        ),
        ("inpaint", {"image": 3, "prompt": "a hat"}, Operation.INPAINT, "a hat", "c", {}),
        ("remove_background", {"image": 3}, Operation.REMOVE_BACKGROUND, "", "c", {}),
        ("compose_images", {"images": [3, 1], "instruction": "mix"}, Operation.EDIT, "mix", "ca", {}),
        ("outpaint", {"image": 1, "left": 256, "top": 0}, Operation.OUTPAINT, "", "a", {"left": 256, "top": 0}),
        ("upscale", {"image": 1, "scale": "4"}, Operation.UPSCALE, "", "a", {"scale": "4"}),
        ("vary_image", {"image": 1, "count": 3}, Operation.VARY, "", "a", {}),
        ("describe_image", {"images": [1, 2], "question": "same?"}, Operation.DESCRIBE, "same?", "ab", {}),
    ],
)
def test_a_call_is_a_decision(
    tool: str,
    arguments: dict[str, Any],
    operation: Operation,
    prompt: str,
    sources: str,
    params: dict[str, ParamValue],
) -> None:
    decision = decided(tool, **arguments)
    assert (decision.operation, decision.prompt, decision.params) == (operation, prompt, params)
    assert [picture.source for picture in decision.pictures] == [f"data:{letter}" for letter in sources]
    assert decision.reason == f"the language model called {tool}"
    assert (decision.mask is MASK) == (operation is Operation.INPAINT)


def test_size_and_count_have_places_of_their_own() -> None:
    decision = decided("generate_image", prompt="a cat", size="640x480", count=2)
    assert (decision.size, decision.size_is_exact) == (Size(640, 480), True)
    assert (decision.n, decision.params) == (2, {})


@pytest.mark.parametrize(
    ("ratio", "size"), [("1:1", Size(1024, 1024)), ("16:9", Size(1376, 768)), ("2:3", Size(832, 1248))]
)
def test_a_shape_is_a_size_that_need_not_be_met(ratio: str, size: Size) -> None:
    decision = decided("generate_image", prompt="a cat", aspect_ratio=ratio)
    assert (decision.size, decision.size_is_exact) == (size, False)
    both = decided("generate_image", size="640x480", prompt="a cat", aspect_ratio=ratio)
    assert (both.size, both.size_is_exact) == (Size(640, 480), True)


@pytest.mark.parametrize("written", [2, 2.0, "2", "[image 2]", "image 2", "#2"])
def test_an_images_number_may_be_written_in_many_ways(written: object) -> None:
    assert decided("remove_background", image=written).pictures[0].source == "data:b"


@pytest.mark.parametrize("written", [[1, 2], ["1", "[image 2]"], "1, 2", "[1, 2]", [1, 2, 2, 1]])
def test_and_so_may_several(written: object) -> None:
    sources = [picture.source for picture in decided("compose_images", images=written, instruction="mix").pictures]
    assert sources == ["data:a", "data:b"]


@pytest.mark.parametrize(("written", "scale"), [("2", "2"), (4, "4"), ("8x", "8")])
def test_a_choice_may_be_a_number(written: object, scale: str) -> None:
    assert decided("upscale", image=1, scale=written).params == {"scale": scale}


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("generate_image", {}, "generate_image needs 'prompt': All that is to be seen"),
        ("generate_image", {"prompt": "  "}, "'prompt': '  '. Allowed: words, at most 8000 characters"),
        ("generate_image", {"prompt": ["a"]}, "Allowed: words"),
        ("generate_image", {"prompt": "a", "count": 5}, "'count': 5. Allowed: a whole number from 1 to 4"),
        ("generate_image", {"prompt": "a", "count": True}, "Allowed: a whole number"),
        ("generate_image", {"prompt": "a", "size": "big"}, "'size': 'big'. Allowed: WIDTHxHEIGHT"),
        ("generate_image", {"prompt": "a", "size": 512}, "Allowed: WIDTHxHEIGHT"),
        ("generate_image", {"prompt": "a", "aspect_ratio": "7:1"}, "Allowed: 1:1, 3:2, 2:3, "),
        ("edit_image", {"image": 4, "instruction": "x"}, "there is no [image 4]. Allowed: 1 to 3"),
        ("edit_image", {"image": 0, "instruction": "x"}, "there is no [image 0]"),
        ("edit_image", {"image": 1.5, "instruction": "x"}, "'image': 1.5. Allowed: a whole number"),
        ("edit_image", {"image": {"n": 1}, "instruction": "x"}, "Allowed: a whole number"),
        ("compose_images", {"images": [1], "instruction": "x"}, "Allowed: at least 2 different images"),
        ("compose_images", {"images": [], "instruction": "x"}, "compose_images needs 'images'"),
        ("outpaint", {"image": 1}, "outpaint needs one of left, right, top, bottom above 0"),
        ("outpaint", {"image": 1, "left": 0}, "above 0"),
        ("outpaint", {"image": 1, "left": 5000}, "Allowed: a whole number from 0 to 1024"),
        ("upscale", {"image": 1, "scale": "3"}, "'scale': '3'. Allowed: 2, 4, 8"),
        ("upscale", {"image": 1, "scale": "2", "seed": 1}, "upscale has no argument 'seed'. Allowed: image, scale"),
        ("draw", {}, "There is no tool 'draw'. Allowed: generate_image, "),
    ],
)
def test_what_cannot_be_done_is_said_with_what_can(tool: str, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        decided(tool, **arguments)
    assert told in raised.value.message


def test_no_more_pictures_than_the_models_take() -> None:
    toolbox = Toolbox(Abilities(frozenset(Operation), 2), Album(PHOTOS))
    with pytest.raises(InvalidRequest, match="at most 2 images, not 3"):
        toolbox.decide(call("compose_images", images=[1, 2, 3], instruction="mix"))


def test_without_a_picture_none_can_be_changed() -> None:
    with pytest.raises(InvalidRequest, match="none, since there is no image yet"):
        Toolbox(EVERYTHING, Album(said("hello"))).decide(call("remove_background", image=1))


def test_only_what_can_be_done_is_offered() -> None:
    assert names(EVERYTHING) == {tool.name for tool in TOOLS}
    assert "inpaint" not in names(EVERYTHING, said("a hat", "data:a")), "there is no mask"
    assert names(Abilities(frozenset({Operation.GENERATE, Operation.EDIT}), 1)) == {"generate_image", "edit_image"}
    assert names(Abilities(frozenset({Operation.GENERATE, Operation.EDIT}), 0)) == {"generate_image"}
    assert names(Abilities(frozenset(), 0)) == set()


def test_what_is_not_offered_cannot_be_called() -> None:
    toolbox = Toolbox(Abilities(frozenset({Operation.GENERATE}), 1), Album(PHOTOS))
    with pytest.raises(InvalidRequest, match=r"no tool 'upscale'. Allowed: generate_image$"):
        toolbox.decide(call("upscale", image=1, scale="2"))


@pytest.mark.parametrize("name", [tool.name for tool in TOOLS])
def test_a_schema_says_what_is_taken(name: str) -> None:
    schemas = {schema["function"]["name"]: schema for schema in Toolbox(EVERYTHING, Album(MASKED)).schemas()}
    assert schemas[name]["type"] == "function"
    function = schemas[name]["function"]
    assert function["description"].endswith(".")
    parameters = function["parameters"]
    assert parameters["type"] == "object"
    assert set(parameters["required"]) <= set(parameters["properties"])
    for described in parameters["properties"].values():
        assert described["description"].endswith(".")
        assert described["type"] in ("string", "integer", "array")


def test_the_mask_may_be_one_of_the_images() -> None:
    toolbox = Toolbox(EVERYTHING, Album(PHOTOS))
    decision = toolbox.decide(call("inpaint", image=1, prompt="a hat", mask=2))
    assert (decision.pictures, decision.mask) == (PHOTOS.pictures[:1], PHOTOS.pictures[1])
    with pytest.raises(InvalidRequest, match="inpaint needs 'mask'"):
        toolbox.decide(call("inpaint", image=1, prompt="a hat"))


def test_every_operation_has_a_tool() -> None:
    assert {tool.operation for tool in TOOLS} == set(Operation)
