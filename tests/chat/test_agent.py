"""A scripted language model converses: what it calls, what it is told, and how it ends when it does badly."""

import asyncio
from dataclasses import replace

import pytest

from limner.chat.agent import Rules, converse
from limner.chat.conversation import Conversation, Shown
from limner.chat.decision import Decision
from limner.chat.language import ToolCall
from limner.chat.steps import Calling, Made
from limner.core import Operation, Tokens, Warning, Words
from limner.errors import (
    DeadlineExceeded,
    InsufficientCredits,
    InvalidRequest,
    MissingParameter,
    PolicyDeclined,
    UpstreamFailed,
    UpstreamTimeout,
)
from tests.chat.scripted import EVERYTHING, ScriptedModel, Studio, by_rules, call, called, calls, outcome, said, words

CAT = said("draw a cat")
PHOTO = said("remove the background, then put a sunset behind", "data:photo")
DRAW_A_CAT = calls(call("generate_image", prompt="a cat"))
DOWN = UpstreamFailed("the language model cannot be reached")


async def test_it_chains_tools_each_on_the_result_of_the_one_before() -> None:
    model = ScriptedModel(
        [
            calls(call("remove_background", image=1), text="First I cut it out."),
            calls(call("edit_image", image=2, instruction="put a sunset behind it")),
            words("There it is, before a sunset."),
        ]
    )
    studio = Studio()
    steps, done = await outcome(PHOTO, model, studio)
    assert steps[:-1] == [
        Words("First I cut it out."),
        Calling(studio.ran[0]),
        Made(("img_1",)),
        Calling(studio.ran[1]),
        Made(("img_2",)),
        Words("\n\nThere it is, before a sunset."),
    ]
    assert [(d.operation, [p.source for p in d.pictures]) for d in studio.ran] == [
        (Operation.REMOVE_BACKGROUND, ["data:photo"]),
        (Operation.EDIT, ["img_1"]),
    ]
    assert done.pictures == ("img_2",), "the cut-out was only a step on the way"
    assert (done.rounds, done.warnings) == (3, ())


async def test_the_model_sees_numbers_and_never_an_address() -> None:
    model = ScriptedModel([calls(call("remove_background", image=1)), words("Done.")])
    await outcome(PHOTO, model)
    assert "[image 1, shown by the user]" in model.heard[0][-1]["content"]
    assert model.told_last == "Done: [image 2]"
    assert "data:photo" not in str(model.heard)
    assert "img_1" not in str(model.heard)


async def test_results_are_numbered_after_the_pictures_of_the_conversation() -> None:
    history = said("two of them", "data:a", "data:b", earlier=said("and one", "data:a"))
    model = ScriptedModel([calls(call("generate_image", prompt="a hat", count=2)), words("Two hats.")])
    _, done = await outcome(history, model)
    assert model.told_last == "Done: [image 3], [image 4]"
    assert done.pictures == ("img_1", "img_2")


async def test_it_may_ask_back() -> None:
    model = ScriptedModel([words("Which cat do you mean?", Tokens(100, 7))])
    studio = Studio()
    steps, done = await outcome(said("make it blue"), model, studio)
    assert steps[0] == Words("Which cat do you mean?")
    assert (done.text, done.pictures, done.rounds) == ("Which cat do you mean?", (), 1)
    assert done.tokens == Tokens(100, 7)
    assert studio.ran == []


async def test_a_tools_error_is_told_to_the_model_which_does_better() -> None:
    model = ScriptedModel(
        [
            calls(call("generate_image", prompt="a cat", size="9999x9999")),
            calls(call("generate_image", prompt="a cat")),
            words("A cat."),
        ]
    )
    studio = Studio({Operation.GENERATE: [InvalidRequest("size 9999x9999 is too large; allowed: up to 2048x2048")]})
    _, done = await outcome(CAT, model, studio)
    assert model.heard[1][-1]["content"] == "Error: size 9999x9999 is too large; allowed: up to 2048x2048"
    assert (done.text, done.pictures, done.warnings) == ("A cat.", ("img_1",), ())


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (call("paint_picture", prompt="x"), "There is no tool 'paint_picture'. Allowed: generate_image, edit_image,"),
        (call("edit_image", image=7, instruction="blue"), "there is no [image 7]. Allowed: 1."),
        (call("edit_image", image=1), "edit_image needs 'instruction'"),
        (
            call("generate_image", prompt="x", colour="red"),
            "no argument 'colour'. Allowed: prompt, aspect_ratio, size",
        ),
        (ToolCall("call00000", "", {}, "it is not valid JSON"), "cannot be read: it is not valid JSON"),
    ],
    ids=["unknown tool", "no such image", "argument missing", "argument unknown", "malformed"],
)
async def test_a_call_that_makes_no_sense_is_answered_with_what_is_allowed(bad: ToolCall, told: str) -> None:
    model = ScriptedModel([calls(bad), calls(call("remove_background", image=1)), words("Done.")])
    studio = Studio()
    steps, done = await outcome(PHOTO, model, studio)
    assert told in model.heard[1][-1]["content"]
    assert called(steps) == [Operation.REMOVE_BACKGROUND]
    assert done.pictures == ("img_1",)


async def test_calls_of_one_turn_run_at_once_and_keep_their_order() -> None:
    model = ScriptedModel(
        [
            calls(call("generate_image", "a", prompt="a cat"), call("generate_image", "b", prompt="a dog")),
            words("A cat and a dog."),
        ]
    )
    studio = Studio(delay_s=0.01)
    steps, done = await outcome(said("a cat and a dog"), model, studio)
    assert studio.most_at_once == 2
    assert [type(step) for step in steps[:4]] == [Calling, Calling, Made, Made]
    assert [(m["tool_call_id"], m["content"]) for m in model.heard[1][-2:]] == [
        ("a", "Done: [image 1]"),
        ("b", "Done: [image 2]"),
    ]
    assert done.pictures == ("img_1", "img_2")


async def test_one_of_several_calls_may_fail() -> None:
    model = ScriptedModel(
        [calls(call("generate_image", "a", prompt="x"), call("remove_background", "b", image=1)), words("One worked.")]
    )
    studio = Studio({Operation.GENERATE: [PolicyDeclined("this is not drawn")]})
    _, done = await outcome(PHOTO, model, studio)
    assert [m["content"] for m in model.heard[1][-2:]] == ["Error: this is not drawn", "Done: [image 2]"]
    assert done.pictures == ("img_1",)


async def test_calls_beyond_the_most_of_one_turn_are_answered_and_not_run() -> None:
    model = ScriptedModel([calls(*(call("generate_image", f"c{i}", prompt=f"cat {i}") for i in range(3))), words("ok")])
    studio = Studio()
    _, done = await outcome(CAT, model, studio, rules={"max_calls": 2})
    assert len(studio.ran) == len(done.pictures) == 2
    assert model.told_last == "Error: Not done: at most 2 calls can be made at a time. Call again if needed."


async def test_a_runaway_loop_ends_with_what_there_is() -> None:
    model = ScriptedModel([calls(call("edit_image", image=1, instruction="bluer"))])
    studio = Studio()
    _, done = await outcome(said("make it blue", "data:photo"), model, studio, rules={"max_rounds": 3})
    assert len(studio.ran) == 3
    assert len(model.heard) == 4, "it is asked once more, for words"
    assert model.told_last.endswith("No more calls can be made. Answer the user in words now.")
    assert "stop before the end: the language model called tools for 3 rounds" in done.text
    assert done.pictures == ("img_1", "img_2", "img_3")
    assert [warning.code for warning in done.warnings] == ["adjusted"]


async def test_the_last_round_leaves_time_for_words() -> None:
    model = ScriptedModel([DRAW_A_CAT, words("A cat.")])
    _, done = await outcome(CAT, model, rules={"max_rounds": 1})
    assert (done.text, done.warnings) == ("A cat.", ())


async def test_a_call_that_failed_is_not_run_again() -> None:
    model = ScriptedModel([DRAW_A_CAT])
    studio = Studio({Operation.GENERATE: [PolicyDeclined("this is not drawn")]})
    _, done = await outcome(CAT, model, studio)
    assert (len(studio.ran), len(model.heard)) == (1, 2)
    assert (done.text, done.pictures) == ("That did not work: this is not drawn", ())
    assert [warning.message for warning in done.warnings] == ["the agent stopped early: this is not drawn"]


async def test_nonsense_twice_leaves_it_to_the_rules() -> None:
    model = ScriptedModel([calls(call("draw", prompt="a cat"))])
    studio = Studio()
    steps, done = await outcome(CAT, model, studio)
    assert len(model.heard) == 2
    assert studio.ran == [by_rules(CAT)]
    assert called(steps) == [Operation.GENERATE]
    assert done.pictures == ("img_1",)


@pytest.mark.parametrize("line", [DOWN, UpstreamTimeout("no answer"), words("")], ids=["down", "slow", "empty"])
async def test_without_the_model_plain_rules_decide(line: Exception) -> None:
    studio = Studio()
    steps, done = await outcome(CAT, ScriptedModel([line]), studio)
    assert steps[:2] == [Calling(by_rules(CAT)), Made(("img_1",))]
    assert (done.text, done.pictures) == ("", ("img_1",))
    (warning,) = done.warnings
    assert warning.message.startswith("plain rules have decided, since ")


async def test_plain_rules_may_answer_in_words() -> None:
    reply = Decision(None, "", reason="a greeting", reply="Hello! What shall I draw?")
    steps, done = await outcome(said("hello"), ScriptedModel([DOWN]), fallback=lambda _: reply)
    assert called(steps) == []
    assert done.text == "Hello! What shall I draw?"


async def test_plain_rules_may_have_a_picture_described() -> None:
    look = Decision(Operation.DESCRIBE, "what is it?", pictures=PHOTO.pictures, reason="a question")
    _, done = await outcome(PHOTO, ScriptedModel([DOWN]), fallback=lambda _: look)
    assert done.text == "a red circle"
    assert done.tokens == Tokens(10, 5)


async def test_an_error_of_the_rules_decision_is_raised() -> None:
    studio = Studio({Operation.GENERATE: [PolicyDeclined("this is not drawn")]})
    with pytest.raises(PolicyDeclined, match="not drawn"):
        await outcome(CAT, ScriptedModel([DOWN]), studio)


async def test_a_model_that_fails_after_something_was_made_leaves_that_and_says_so() -> None:
    model = ScriptedModel([calls(call("remove_background", image=1)), DOWN])
    studio = Studio()
    _, done = await outcome(PHOTO, model, studio)
    assert len(studio.ran) == 1, "the rules would begin anew"
    assert done.pictures == ("img_1",)
    assert done.text == (
        "I had to stop before the end: the language model cannot be reached\n\nThis is what was made so far."
    )


async def test_what_was_seen_is_not_lost_with_the_model() -> None:
    model = ScriptedModel([calls(call("describe_image", images=[1], question="What is it?")), DOWN])
    _, done = await outcome(PHOTO, model)
    assert done.text.startswith("a red circle\n\nI had to stop")


async def test_what_was_seen_is_the_answer_when_the_model_adds_nothing() -> None:
    model = ScriptedModel([calls(call("describe_image", images=[1], question="What is it?")), words("")])
    _, done = await outcome(PHOTO, model)
    assert (done.text, done.warnings) == ("a red circle", ())


async def test_a_picture_that_was_only_looked_at_is_still_shown() -> None:
    model = ScriptedModel(
        [DRAW_A_CAT, calls(call("describe_image", images=[1], question="Is it a cat?")), words("It is one.")]
    )
    _, done = await outcome(CAT, model)
    assert model.told_last == "a red circle"
    assert done.pictures == ("img_1",)


async def test_the_last_words_can_show_a_picture_that_was_a_step_on_the_way() -> None:
    model = ScriptedModel(
        [
            DRAW_A_CAT,
            calls(call("edit_image", image=1, instruction="make it blue")),
            words("Here is [image 1] and, in blue, [image 2]."),
        ]
    )
    _, done = await outcome(said("draw a cat, and a blue one too"), model)
    assert done.pictures == ("img_1", "img_2")
    assert done.text == "Here is image 1 and, in blue, image 2."


async def test_words_that_show_a_picture_that_was_never_made_are_sent_back() -> None:
    model = ScriptedModel([words("Here is your cat: [image 1]"), DRAW_A_CAT, words("Now it is there.")])
    _, done = await outcome(CAT, model)
    assert "There is no [image 1]" in model.heard[1][-1]["content"]
    assert (done.text, done.pictures) == ("Now it is there.", ("img_1",))


async def test_words_are_sent_back_only_once() -> None:
    model = ScriptedModel([words("Here is your cat: [image 1]")])
    _, done = await outcome(CAT, model)
    assert len(model.heard) == 2
    assert (done.text, done.pictures) == ("Here is your cat: image 1", ())


async def test_what_was_seen_is_not_said_again() -> None:
    look = call("describe_image", images=[1], question="What is it?")
    cut = calls(call("remove_background", image=1), text="It is a red circle; I cut it out.")
    _, done = await outcome(PHOTO, ScriptedModel([calls(look), cut, DOWN]))
    assert done.text.startswith("It is a red circle; I cut it out.\n\nI had to stop")


async def test_a_slow_model_is_not_waited_for() -> None:
    model = ScriptedModel([5.0])
    _, done = await outcome(CAT, model, rules={"model_timeout_s": 0.01})
    assert model.cancelled
    assert done.pictures == ("img_1",)
    assert "did not answer within 0.01 s" in done.warnings[0].message


async def test_a_slow_call_is_stopped_and_the_model_told() -> None:
    model = ScriptedModel([DRAW_A_CAT, words("It takes too long today.")])
    studio = Studio(delay_s=5.0)
    _, done = await outcome(CAT, model, studio, rules={"call_timeout_s": 0.01})
    assert studio.cancelled == 1
    assert model.told_last == "Error: it took longer than 0.01 s and was stopped"
    assert done.text == "It takes too long today."


async def test_all_the_time_together_is_bounded() -> None:
    with pytest.raises(DeadlineExceeded):
        await outcome(CAT, ScriptedModel([DRAW_A_CAT]), Studio(delay_s=5.0), rules={"total_timeout_s": 0.02})


async def test_when_the_time_is_over_what_was_made_is_given() -> None:
    model = ScriptedModel([calls(call("remove_background", image=1)), 5.0])
    _, done = await outcome(PHOTO, model, rules={"total_timeout_s": 0.05})
    assert model.cancelled
    assert done.pictures == ("img_1",)
    assert "I had to stop before the end" in done.text


async def test_what_no_call_can_help_is_raised_at_once() -> None:
    studio = Studio({Operation.GENERATE: [InsufficientCredits("no credits left")]})
    model = ScriptedModel([DRAW_A_CAT])
    with pytest.raises(InsufficientCredits):
        await outcome(CAT, model, studio)
    assert len(model.heard) == 1


async def test_when_credits_run_out_on_the_way_the_rest_is_given() -> None:
    studio = Studio({Operation.EDIT: [InsufficientCredits("no credits left")]})
    model = ScriptedModel([DRAW_A_CAT, calls(call("edit_image", image=1, instruction="blue")), words("never said")])
    _, done = await outcome(CAT, model, studio)
    assert done.pictures == ("img_1",)
    assert "no credits left" in done.text
    assert len(model.heard) == 2


async def test_leaving_stops_what_runs() -> None:
    studio = Studio(delay_s=5.0)
    model = ScriptedModel([calls(call("generate_image", "a", prompt="x"), call("generate_image", "b", prompt="y"))])

    started = asyncio.Semaphore(0)

    async def run(decision: Decision) -> Made:
        started.release()
        return await studio.run(decision)

    async def follow() -> None:
        async for _ in converse(CAT, model, run, Rules(EVERYTHING), fallback=by_rules):
            pass

    task = asyncio.create_task(follow())
    await started.acquire()
    await started.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert studio.cancelled == 2


async def test_closing_it_between_steps_runs_nothing_more() -> None:
    studio = Studio()
    steps = converse(CAT, ScriptedModel([DRAW_A_CAT]), studio.run, Rules(EVERYTHING), fallback=by_rules)
    assert isinstance(await anext(steps), Calling)
    await steps.aclose()
    assert studio.ran == []


async def test_tokens_and_warnings_of_all_steps_are_counted_together() -> None:
    note = Warning("size", "adjusted", "the size was rounded to 512x512")

    async def run(decision: Decision) -> Made:
        return Made(("img_1",), tokens=Tokens(3, 0), warnings=(note,))

    model = ScriptedModel([calls(call("generate_image", prompt="x"), tokens=Tokens(50, 9)), words("ok", Tokens(70, 2))])
    steps = [step async for step in converse(CAT, model, run, Rules(EVERYTHING), fallback=by_rules)]
    assert model.told_last == "Done: [image 1]\nNote: the size was rounded to 512x512"
    assert getattr(steps[-1], "tokens", None) == Tokens(123, 11)
    assert getattr(steps[-1], "warnings", None) == (note,)


async def test_a_mask_can_be_painted_into() -> None:
    mask = Shown("data:mask", "user", "mask")
    turn = said("put a hat there", "data:photo").turns[0]
    conversation = Conversation((replace(turn, pictures=(*turn.pictures, mask)),))
    model = ScriptedModel([calls(call("inpaint", image=1, prompt="a hat")), words("A hat.")])
    studio = Studio()
    await outcome(conversation, model, studio)
    assert (studio.ran[0].pictures, studio.ran[0].mask) == (turn.pictures, mask)
    assert "marked a part" in model.heard[0][0]["content"]


async def test_a_bug_is_no_answer() -> None:
    studio = Studio({Operation.GENERATE: [ZeroDivisionError()]})
    with pytest.raises(ExceptionGroup):
        await outcome(CAT, ScriptedModel([DRAW_A_CAT]), studio)


async def test_there_must_be_something_to_answer() -> None:
    with pytest.raises(MissingParameter):
        await outcome(Conversation(()), ScriptedModel([words("hello")]))
