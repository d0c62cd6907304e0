"""The routing table, and what holds for every conversation."""

import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.chat import Conversation, Role, Shown, Turn
from limner.chat.routing import Abilities, Decision, decide
from limner.core import Operation, Size
from limner.errors import MissingParameter

TABLE = Path(__file__).with_name("routing.toml")
ROLES: dict[str, Role] = {"u": "user", "a": "assistant", "t": "tool", "s": "system"}
EVERYTHING = Abilities(frozenset(Operation), 14)


def cases() -> list[dict[str, Any]]:
    """Every case with its group's own keys under it."""
    groups = tomllib.loads(TABLE.read_text(encoding="utf-8"))["group"]
    return [
        {**{key: value for key, value in group.items() if key != "cases"}, **case}
        for group in groups
        for case in group["cases"]
    ]


def turn(index: int, role: Role, said: str) -> Turn:
    """``said`` with a * for every picture."""
    text = said.rstrip("*").strip()
    count = len(said) - len(said.rstrip("*"))
    shown = (Shown(f"img_{index}_{number}", role, f"messages[{index}]") for number in range(count))
    return Turn(role, text, tuple(shown))


def conversation(case: dict[str, Any]) -> Conversation:
    before = case.get("before", [])
    turns = [turn(index, ROLES[line[0]], line[2:]) for index, line in enumerate(before)]
    last = len(turns)
    count = case.get("with", 0)
    params = [f"messages[{last}].content[{number}]" for number in range(count)]
    if case.get("mask_param"):
        params[-1] = "mask"
    pictures = tuple(Shown(f"img_{last}_{number}", "user", param) for number, param in enumerate(params))
    return Conversation((*turns, Turn("user", case["say"], pictures)))


def numbers(decision: Decision, pictures: tuple[Shown, ...]) -> list[int]:
    return [pictures.index(picture) + 1 for picture in decision.pictures]


def named(case: dict[str, Any]) -> str:
    return f"{case['title']}: {case['say'][:60]}"


@pytest.mark.parametrize("case", cases(), ids=named)
def test_a_turn_becomes_what_its_words_ask_for(case: dict[str, Any]) -> None:
    lacking = {Operation(name) for name in case.get("lacks", [])}
    abilities = Abilities(frozenset(Operation) - lacking, case.get("max", 14))
    if case.get("words_only"):
        abilities = Abilities(frozenset({Operation.DESCRIBE}), 14, words_only=True)
    said = conversation(case)
    shown = tuple(picture for picture in said.pictures if picture.role != "system")
    decision = decide(said, abilities)
    assert decision.operation == (None if case["op"] == "words" else Operation(case["op"])), decision
    assert numbers(decision, shown) == case.get("of", []), decision
    assert (None if decision.mask is None else shown.index(decision.mask) + 1) == case.get("mask"), decision
    assert decision.size == (Size.parse(case["size"]) if "size" in case else None), decision
    assert decision.n == case.get("n"), decision
    assert dict(decision.params) == case.get("set", {}), decision
    assert decision.prompt == case.get("prompt", decision.prompt if decision.operation else case["say"])
    assert case.get("reply", "") in (decision.reply or ""), decision
    assert decision.reason
    assert case.get("reason", "") in decision.reason, decision
    assert (decision.reply is None) == (decision.operation is not None)


def test_the_table_covers_what_people_speak() -> None:
    kinds = Counter(case.get("kind") for case in cases())
    assert kinds.total() >= 260
    assert kinds["typo"] >= 25
    assert all(kinds[language] >= 10 for language in ("de", "es", "fr", "zh"))


SENTENCES = [case["say"] for case in cases()]
WORDS = sorted({word for sentence in SENTENCES for word in sentence.split()})
said_words = st.one_of(
    st.sampled_from(SENTENCES), st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), st.text(max_size=80)
)
roles = st.sampled_from(list(ROLES.values()))
messages = st.lists(st.tuples(roles, said_words, st.integers(0, 4)), max_size=6)
abilities_of = st.builds(Abilities, st.frozensets(st.sampled_from(list(Operation))), st.integers(0, 5))


@settings(max_examples=150, deadline=None)
@given(messages=messages, abilities=abilities_of)
def test_every_conversation_is_decided_on_alike(messages: list[tuple[Role, str, int]], abilities: Abilities) -> None:
    turns = [
        Turn(role, text, tuple(Shown(f"img_{index}_{at}", role, f"messages[{index}]") for at in range(count)))
        for index, (role, text, count) in enumerate(messages)
    ]
    said = Conversation(tuple(turns))
    if not any(turn.role == "user" for turn in turns):
        with pytest.raises(MissingParameter):
            decide(said, abilities)
        return
    decision = decide(said, abilities)
    assert decision == decide(said, abilities)
    assert set(decision.pictures) <= set(said.pictures)
    assert len(decision.pictures) <= abilities.max_images
    assert decision.operation is None or decision.operation in abilities.operations
    assert (decision.reply is None) == (decision.operation is not None)


def long_history(turns: int, say: str = "make the hat blue") -> Conversation:
    said = ["draw a cat in a hat", "make it blue", "thanks", "again", "a very long wish " * 200]
    made: list[Turn] = []
    for index in range(0, turns, 2):
        made += turn(index, "user", said[index // 2 % 5]), turn(index + 1, "assistant", "Here it is. *")
    return Conversation((*made, Turn("user", say)))


def test_a_long_history_is_read_in_time_that_grows_with_it() -> None:
    decide(long_history(10), EVERYTHING)
    spent = []
    for turns in (60, 240):
        begin = time.process_time()
        decision = decide(long_history(turns), EVERYTHING)
        spent.append(time.process_time() - begin)
        assert decision.operation is Operation.REGION_EDIT
        assert numbers(decision, long_history(turns).pictures) == [turns // 2]
        assert decide(long_history(turns, "again"), EVERYTHING).operation is Operation.GENERATE
    assert spent[0] < 1.0
    assert spent[1] < 8 * spent[0] + 0.1


def test_a_huge_prompt_reaches_the_model_whole() -> None:
    prompt = "draw " + "a cat and a dog " * 20_000
    begin = time.process_time()
    decision = decide(Conversation((Turn("user", prompt),)), EVERYTHING)
    assert decision.prompt == prompt.strip()
    assert time.process_time() - begin < 2.0


LONG_RUNS = ["1" * 4000, "12 " * 1300, "trois" * 800, "des plus de " * 300, "mach das bild " + "um 4 mal " * 400]


@pytest.mark.parametrize("text", LONG_RUNS)
def test_no_words_keep_it_busy(text: str) -> None:
    began_s = time.process_time()
    decide(Conversation((Turn("user", text, (Shown("data:image/png;base64,a", "user", "messages[0]"),)),)), EVERYTHING)
    assert time.process_time() - began_s < 5  # days, where a pattern tries every way to cut digits into numbers
