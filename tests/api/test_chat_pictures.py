"""Pictures by the parameters that bring them."""

from dataclasses import replace
from typing import Any

import pytest

from limner.api.chat.pictures import in_order, take_pictures
from limner.catalogue import Catalogue, ParamSpec
from limner.chat import Shown
from limner.errors import InvalidRequest, MissingParameter, UnknownParameter

PLAIN = Catalogue.builtin().get("sketch")
IMAGES = (
    ParamSpec("character_images", "images", "who", maximum=2, required=True),
    ParamSpec("style_images", "images", "how", maximum=2),
    ParamSpec("outline", "mask", "where", field="mask"),
)
OWN = replace(PLAIN, params={**PLAIN.params, **{param.name: param for param in IMAGES}})


def shown(source: str, param: str = "messages[0].content[1]") -> Shown:
    return Shown(source, "user", param)


def test_a_model_without_parameters_for_pictures_takes_them_as_they_come() -> None:
    given = {"image_prompt": ["http://a", "http://b"], "mask": {"url": "http://m"}, "seed": 1}
    beside = take_pictures(given, PLAIN)
    assert given == {"seed": 1}
    assert beside.mask == ("mask", "http://m")
    pictures, counts = in_order(PLAIN, [shown("http://b"), shown("http://c")], beside.by_param)
    assert pictures == (
        ("messages[0].content[1]", "http://b"),
        ("messages[0].content[1]", "http://c"),
        ("image_prompt", "http://a"),
    )
    assert counts == {}


def test_a_models_own_parameters_order_and_count_them() -> None:
    given: dict[str, Any] = {"style_images": "http://s", "character_images": ["http://c"], "outline": "http://m"}
    beside = take_pictures(given, OWN)
    assert beside.mask == ("outline", "http://m")
    pictures, counts = in_order(OWN, [shown("http://said")], beside.by_param)
    assert [source for _, source in pictures] == ["http://said", "http://c", "http://s"]
    assert counts == {"character_images": 2, "style_images": 1}


def test_what_the_table_says_of_them_holds() -> None:
    many = take_pictures({"character_images": ["http://a", "http://b", "http://c"]}, OWN)
    with pytest.raises(InvalidRequest) as refused:
        in_order(OWN, (), many.by_param)
    assert refused.value.param == "character_images"
    with pytest.raises(MissingParameter, match="character_images"):
        in_order(OWN, (), take_pictures({"style_images": "http://s"}, OWN).by_param)
    foreign = take_pictures({"image_prompt": "http://x", "character_images": "http://c"}, OWN)
    with pytest.raises(UnknownParameter, match="image_prompt"):
        in_order(OWN, (), foreign.by_param)


@pytest.mark.parametrize("value", [5, [5], {"uri": "x"}, "", [""]])
def test_what_is_no_picture_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        take_pictures({"image_prompt": value}, PLAIN)
    assert refused.value.param == "image_prompt"


def test_an_empty_list_brings_none() -> None:
    assert take_pictures({"image_prompt": []}, PLAIN).by_param == {}
