import math

import pytest

from limner.catalogue import ParamSpec
from limner.catalogue.values import checked, shown
from limner.core import Lora
from limner.errors import InvalidRequest

STEPS = ParamSpec("steps", "integer", "", minimum=1, maximum=50)
HALVES = ParamSpec("guidance_scale", "number", "", minimum=1, maximum=20, step=0.5)
OPEN = ParamSpec("creativity", "number", "", minimum=-10)
TEXT = ParamSpec("negative_prompt", "string", "", maximum=5)
FLAG = ParamSpec("raw", "boolean", "")
MODE = ParamSpec("mode", "enum", "", choices=("pro", "max"))
LORAS = ParamSpec("lora", "loras", "", minimum=-4, maximum=4)


@pytest.mark.parametrize(
    ("param", "value", "result"),
    [
        (STEPS, 1, 1),
        (STEPS, 50, 50),
        (STEPS, 8.0, 8),
        (HALVES, 1, 1.0),
        (HALVES, 7.5, 7.5),
        (OPEN, -10, -10.0),
        (OPEN, 1e6, 1e6),
        (TEXT, "", ""),
        (TEXT, "ünıcö", "ünıcö"),
        (FLAG, False, False),
        (MODE, "max", "max"),
        (LORAS, (Lora("a/b", -4.0), Lora("c.safetensors")), (Lora("a/b", -4.0), Lora("c.safetensors"))),
    ],
)
def test_takes_what_is_allowed(param: ParamSpec, value: object, result: object) -> None:
    taken = checked(param, value)
    assert taken == result
    assert type(taken) is type(result)


WRONG: list[tuple[ParamSpec, list[object]]] = [
    (STEPS, [0, 51, -1, 8.5, "8", True, None, math.inf, math.nan, [], 10**400]),
    (HALVES, [0.5, 20.5, 7.25, "7", False, math.nan, math.inf, -math.inf, 10**400, {}]),
    (TEXT, ["sixsix", 5, None, b"abc", ["a"]]),
    (FLAG, [0, 1, "true", ""]),
    (MODE, ["PRO", "", "min", 1]),
    (
        LORAS,
        [
            "a/b",
            ("a/b",),
            (Lora("x"),) * 5,
            (Lora("x", 4.1),),
            (Lora(" "),),
            (Lora("x", math.nan),),
            (Lora("x" * 2000),),
        ],
    ),
]


@pytest.mark.parametrize(("param", "value"), [(param, value) for param, values in WRONG for value in values])
def test_refuses_the_rest_naming_parameter_value_and_what_is_allowed(param: ParamSpec, value: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        checked(param, value)
    assert caught.value.param == param.name
    assert param.name in caught.value.message
    assert "Allowed: " in caught.value.message
    assert len(caught.value.message) < 400


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def nested(depth: int) -> object:
    value: object = "x"
    for i in range(depth):
        value = [value] if i % 2 else {"a": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        nested(5000),
        "x" * 10**6,
        ["y" * 1000] * 1000,
        {str(i): i for i in range(1000)},
        b"z" * 1000,
        10**4000,
        -(10**5000),
        (Lora("p" * 1000),) * 4,
        Hostile(),
        "\n" * 1000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_shows_any_value_shortly(value: object) -> None:
    assert 0 < len(shown(value)) <= 200
    assert "\n" not in shown(value)


@pytest.mark.parametrize("value", [1, 1.5, "abc", None, True, ["a"], {"a": 1}, "x" * 90])
def test_shows_short_values_as_they_are(value: object) -> None:
    assert shown(value) == repr(value)


def test_says_what_is_allowed_in_words() -> None:
    for param, value, words in (
        (STEPS, 300, "'steps': 300. Allowed: integer from 1 to 50"),
        (HALVES, 0, "Allowed: number from 1 to 20 in steps of 0.5"),
        (OPEN, -11, "Allowed: number of at least -10"),
        (TEXT, "sixsix", "Allowed: text of at most 5 characters"),
        (FLAG, 1, "Allowed: true or false"),
        (MODE, "x", "Allowed: 'pro' or 'max'"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            checked(param, value)
        assert words in caught.value.message


def test_a_whole_number_may_be_said_where_it_is_among_the_choices() -> None:
    scale = ParamSpec("scale", "enum", "", choices=("2", "4"))
    assert (checked(scale, 4), checked(scale, "2")) == ("4", "2")
    for wrong in (3, 4.0, True, "4x"):
        with pytest.raises(InvalidRequest, match="'scale'"):
            checked(scale, wrong)
