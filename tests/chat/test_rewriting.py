"""A prompt put better, and the cases in which it is left as it was."""

import asyncio

import pytest

from limner.chat.rewriting import Rewritten, rewrite
from limner.core import Operation
from limner.errors import UpstreamFailed
from tests.chat.scripted import ScriptedModel, call, calls, words


async def rewritten(prompt: str, answer: str, operation: Operation = Operation.GENERATE) -> Rewritten:
    return await rewrite(prompt, ScriptedModel([words(answer)]), operation=operation)


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("a cat", "A tabby cat on a windowsill in soft morning light"),
        ('a sign that says "Open 24/7"', 'A neon sign that says "Open 24/7" over a diner at night'),
        ("three cats", "3 cats on a sofa"),
        ("3 Katzen", "Drei Katzen auf einem Sofa im Abendlicht"),
        ("a beach without people", "An empty beach at dawn with no people in sight"),
        ("eine Stadt ohne Autos", "Eine ruhige Stadt im Morgenlicht, ohne Autos und mit vielen Bäumen"),
        ("un chat sur le toit", "Un chat noir assis sur le toit d'une maison, sous un ciel d'orage"),
        ("两只猫", "两只橘猫趴在窗台上，柔和的晨光"),
        ("猫と犬", "窓辺の猫と犬、柔らかい朝の光"),
        ("кошка на крыше", "Рыжая кошка на крыше дома, тёплый вечерний свет"),
    ],
)
async def test_a_prompt_is_enriched(prompt: str, answer: str) -> None:
    assert await rewritten(prompt, answer) == Rewritten(answer)


@pytest.mark.parametrize(
    ("prompt", "answer", "why"),
    [
        ('a sign that says "Open 24/7"', 'A neon sign that says "OPEN 24/7"', "lost the quoted text 'Open 24/7'"),
        ("a shirt with 'Bob' on it", "A white shirt with a name on it", "lost the quoted text 'Bob'"),
        ("ein Schild mit „Halt!“", "Ein rotes Schild mit „Stopp!“", "lost the quoted text 'Halt!'"),
        ("a poster «Été»", "A bright poster for the summer", "lost the quoted text 'Été'"),
        ("写着「你好」的牌子", "写着问候语的木牌子", "lost the quoted text '你好'"),
        ("three cats", "Some cats on a sofa", "lost the number 3"),
        ("7 balloons", "Many balloons", "lost the number 7"),
        ("两只猫", "一群猫趴在窗台上", "lost the number 2"),
        ("a beach without people", "A crowded beach at dawn", "lost what shall not be there"),
        ("un perro sin collar", "Un perro marrón con collar rojo", "lost what shall not be there"),
        ("没有人的街道", "热闹的街道，霓虹灯", "lost what shall not be there"),
        ("ein Hund mit Hut und Brille", "A dog with a hat and glasses in the park", "is in another language"),
        ("кошка на крыше", "A ginger cat on the roof", "is in another language"),
        ("一只猫", "A cat on a windowsill", "is in another language"),
        ("a cat", "A cat. " * 400, "is longer than 1200 characters"),
        ("a cat", "  ", "is empty"),
    ],
)
async def test_what_was_not_kept_is_not_taken(prompt: str, answer: str, why: str) -> None:
    result = await rewritten(prompt, answer)
    assert result.prompt == prompt
    (warning,) = result.warnings
    assert (warning.param, warning.code) == ("rewrite_prompt", "ignored")
    assert warning.message == f"the rewritten prompt {why}, so the prompt is used as it is"


async def test_an_edit_is_made_clear_and_no_more() -> None:
    clear = await rewritten("make hat blue pls", "Make the hat blue.", Operation.EDIT)
    assert clear == Rewritten("Make the hat blue.")
    flowery = "Make the hat blue, add a feather, put the scene at sunset, and give it all a painterly look."
    assert (await rewritten("make hat blue pls", flowery, Operation.EDIT)).prompt == "make hat blue pls"


@pytest.mark.parametrize("operation", [Operation.DESCRIBE, Operation.REMOVE_BACKGROUND, Operation.UPSCALE])
async def test_what_is_no_prompt_is_not_rewritten(operation: Operation) -> None:
    model = ScriptedModel([words("something else")])
    assert await rewrite("what is it?", model, operation=operation) == Rewritten("what is it?")
    assert model.heard == []


async def test_a_blank_prompt_stays_blank() -> None:
    assert await rewrite("", ScriptedModel([words("a cat")]), operation=Operation.OUTPAINT) == Rewritten("")


async def test_a_long_prompt_may_stay_as_long() -> None:
    prompt = "a cat on the roof, " * 100
    assert (await rewritten(prompt, prompt[:-2])).warnings == ()


@pytest.mark.parametrize("answer", ['"A tabby cat"', "<think>They want a cat.</think>\nA tabby cat", " A tabby cat\n"])
async def test_wrapping_is_taken_off(answer: str) -> None:
    assert await rewritten("a cat", answer) == Rewritten("A tabby cat")


async def test_the_model_is_told_the_rules_and_the_prompt_apart() -> None:
    model = ScriptedModel([words("A tabby cat")])
    await rewrite("a cat", model)
    system, user = model.heard[0]
    assert (system["role"], user) == ("system", {"role": "user", "content": "a cat"})
    assert "at most 1200 characters" in system["content"]
    assert model.offered == [()]


async def test_without_a_rewriter_it_says_so() -> None:
    result = await rewrite("a cat", None)
    assert result.prompt == "a cat"
    assert result.warnings[0].message == "no prompt rewriter is configured, so the prompt is used as it is"


async def test_a_model_that_fails_costs_only_a_warning() -> None:
    result = await rewrite("a cat", ScriptedModel([UpstreamFailed("nobody there")]))
    assert result.prompt == "a cat"
    assert "the prompt rewriter failed (nobody there)" in result.warnings[0].message


async def test_a_slow_model_is_not_waited_for() -> None:
    model = ScriptedModel([5.0])
    result = await rewrite("a cat", model, timeout_s=0.01)
    assert (result.prompt, model.cancelled) == ("a cat", True)
    assert "did not answer within 0.01 s" in result.warnings[0].message


async def test_a_model_that_calls_tools_instead_has_written_nothing() -> None:
    result = await rewrite("a cat", ScriptedModel([calls(call("generate_image", prompt="a cat"))]))
    assert (result.prompt, len(result.warnings)) == ("a cat", 1)


async def test_leaving_is_not_swallowed() -> None:
    task = asyncio.create_task(rewrite("a cat", ScriptedModel([5.0])))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
