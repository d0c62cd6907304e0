"""Messages of every shape as one conversation."""

import time
from typing import Any

import pytest

from limner.api.chat.messages import read_messages, url_of
from limner.chat import Conversation, Shown, Turn, without_repeats
from limner.errors import InvalidRequest, MissingParameter

DATA = "data:image/png;base64,iVBORw0KGgo="
OWN = "http://limner.test/v1/files/img_ab12_0.png?expires=1&signature=2"
LINK = "https://example.org/cat.png"
LISTED = '<attached_files>\n<file type="image" url="/a" name="![x](https://b.test/c.png)"/>\n</attached_files>\n\n'
PATH = "/v1/files/img_ab12_0.png?expires=1&signature=2"


def said(content: Any, role: str = "user", **more: Any) -> Turn:
    (turn,) = read_messages([{"role": role, "content": content, **more}]).turns
    return turn


def sources(turn: Turn) -> list[str]:
    return [picture.source for picture in turn.pictures]


@pytest.mark.parametrize(
    ("content", "text", "pictures"),
    [
        ("a red circle", "a red circle", []),
        ("  spaces stay  ", "  spaces stay  ", []),
        (None, "", []),
        ([], "", []),
        ([{"type": "text", "text": "a cat"}], "a cat", []),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb", []),
        ([{"type": "input_text", "text": "a"}, {"type": "output_text", "text": "b"}], "a\nb", []),
        ([{"type": "refusal", "refusal": "no"}], "no", []),
        ([{"type": "image_url", "image_url": {"url": DATA, "detail": "high"}}], "", [DATA]),
        ([{"type": "image_url", "image_url": LINK}], "", [LINK]),
        ([{"type": "input_image", "image_url": DATA}], "", [DATA]),
        ([{"type": "input_image", "file_id": "img_ab12_0"}], "", ["img_ab12_0"]),
        (
            [
                {"type": "image_url", "image_url": {"url": DATA}},
                {"type": "text", "text": "between"},
                {"type": "image_url", "image_url": {"url": LINK}},
            ],
            "between",
            [DATA, LINK],
        ),
        (f"![a cat]({LINK})", "", [LINK]),
        (f"Here you are:\n\n![image]({DATA})", "Here you are:", [DATA]),
        (f'![]( <{LINK}> "title" )', "", [LINK]),
        (f"one ![1]({DATA}) two ![2]({OWN})", "one  two", [DATA, OWN]),
        (f"![x]({PATH})", "", [PATH]),
        ([{"type": "text", "text": f"![image]({DATA})"}], "", [DATA]),
        ("![img_ab12_0](/api/v1/files/1b9d/content)", "", ["img_ab12_0"]),
        ("![img_ab12_0](https://chat.test/api/v1/files/1b9d/content)", "", ["img_ab12_0"]),
        (f"![img_ab12_0]({DATA})", "", [DATA]),
        (f"![img_ab12_0]({OWN}) ![img_ab12_0]({PATH})", "", [OWN, PATH]),
        (f"![img_ab12_0](https://pics.test/limner{PATH})", "", [f"https://pics.test/limner{PATH}"]),
        (f"![IMG_1234_5]({LINK})", "", [LINK]),
        ("![cat](/api/v1/files/1b9d/content)", "![cat](/api/v1/files/1b9d/content)", []),
        (f"{LISTED}What is this?", "What is this?", []),
        ([{"type": "text", "text": LISTED}, {"type": "text", "text": " What?"}], " What?", []),
        ("see <attached_files> </attached_files>", "see <attached_files> </attached_files>", []),
        ("<attached_files> and no end", "<attached_files> and no end", []),
        ("![x](javascript:alert(1))", "![x](javascript:alert(1))", []),
        ("![x](cat.png) [y](https://example.org)", "![x](cat.png) [y](https://example.org)", []),
        ("not ![ a ( picture", "not ![ a ( picture", []),
    ],
)  # fmt: skip
def test_words_and_pictures(content: Any, text: str, pictures: list[str]) -> None:
    turn = said(content)
    assert turn.text == text
    assert sources(turn) == pictures


def test_what_an_assistant_showed_is_found_where_this_server_puts_it() -> None:
    images = [{"type": "image_url", "image_url": {"url": DATA}, "index": 0}]
    assert sources(said("", "assistant", images=images)) == [DATA]
    in_both = said([{"type": "image_url", "image_url": {"url": DATA}}], "assistant", images=images)
    assert sources(in_both) == [DATA]
    assert sources(said(f"![image]({DATA})", "assistant")) == [DATA]


def test_every_picture_knows_its_turn_and_its_place() -> None:
    conversation = read_messages(
        [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "draw a cat"},
            {"role": "assistant", "content": "", "images": [{"image_url": {"url": OWN}}]},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "like this"},
                    {"type": "image_url", "image_url": {"url": DATA}},
                    {"type": "image_url", "image_url": {"url": LINK}},
                ],
            },
        ]
    )
    assert [turn.role for turn in conversation.turns] == ["system", "user", "assistant", "user"]
    assert conversation.pictures == (
        Shown(OWN, "assistant", "messages[2].images[0]"),
        Shown(DATA, "user", "messages[3].content[1]"),
        Shown(LINK, "user", "messages[3].content[2]"),
    )
    assert conversation.asked.text == "like this"


@pytest.mark.parametrize(
    ("given", "role"), [("developer", "system"), ("function", "tool"), ("tool", "tool"), ("assistant", "assistant")]
)
def test_roles_of_several_ages(given: str, role: str) -> None:
    assert said("x", given).role == role


def test_what_is_asked_is_the_users_last_word() -> None:
    turns = (Turn("user", "one"), Turn("assistant", "two"), Turn("user", "three"), Turn("assistant", "Here:"))
    assert Conversation(turns).asked.text == "three"
    with pytest.raises(MissingParameter, match="messages"):
        _ = Conversation((Turn("system", "x"), Turn("assistant", "y"))).asked


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (None, "messages"),
        ([], "messages"),
        ("hello", "messages"),
        ({"role": "user"}, "messages"),
        (["hello"], "messages[0]"),
        ([{"content": "x"}], "messages[0].role"),
        ([{"role": "robot", "content": "x"}], "messages[0].role"),
        ([{"role": ["user"], "content": "x"}], "messages[0].role"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user", "content": {"type": "text"}}], "messages[0].content"),
        ([{"role": "user", "content": ["x"]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"text": "x"}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": "text", "text": 1}]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "video_url"}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": ["text"]}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content[0].image_url"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], "messages[0].content[0].image_url"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": " "}]}], "messages[0].content[0].image_url"),
        ([{"role": "user", "content": "x"}, {"role": "assistant", "images": "y"}], "messages[1].images"),
        ([{"role": "user", "content": "x"}, {"role": "assistant", "images": [5]}], "messages[1].images[0]"),
    ],
)
def test_what_is_wrong_is_refused_by_its_place(messages: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_messages(messages)
    assert refused.value.param == param
    assert param.partition("[")[0] in refused.value.message


@pytest.mark.parametrize("value", [LINK, f" {LINK} ", {"url": LINK}, {"image_url": LINK}, {"image_url": {"url": LINK}}])
def test_a_picture_in_every_wrapping(value: Any) -> None:
    assert url_of(value, "image_prompt") == LINK


def test_a_repeated_picture_counts_once_where_it_comes_first() -> None:
    one, two, again = (Shown(source, "user", param) for source, param in (("a", "x"), ("b", "y"), ("a", "z")))
    assert without_repeats((one, two, again)) == (one, two)


def test_megabytes_of_markdown_are_read_at_once() -> None:
    long = "data:image/png;base64," + "A" * 8_000_000
    assert sources(said(f"![image]({long}) now blue")) == [long]
    assert sources(said("![" * 500_000)) == []


@pytest.mark.parametrize(
    "piece", ["![a](data:image/", "![a](http://x", "![a](/v1/files/", "![", '![a](data:image/png;base64,AA "t']
)
def test_what_is_almost_a_picture_is_read_in_time(piece: str) -> None:
    began = time.perf_counter()
    assert read_messages([{"role": "user", "content": piece * (400_000 // len(piece))}]).pictures == ()
    assert time.perf_counter() - began < 5  # hundreds of times what it takes; before, it took minutes
