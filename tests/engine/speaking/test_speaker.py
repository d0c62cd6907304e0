"""Real tiny models behind the speaker: together as alone, streamed, stopped, refused."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from limner.engine.speaking import Manner, Question, Speaker
from limner.errors import InvalidRequest, LimnerError, NotReady
from tests.engine.speaking.asking import STILL_S, Heard, answers, ask, colour
from tests.tiny_speakers import CONTEXT, END, SEEING, saved

RED, BLUE, TALL = colour("red"), colour("blue", 64, 64), colour("green", 20, 90)
SpeakerOf = Callable[[str], Speaker]


@pytest.fixture(scope="module")
def speaker_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpeakerOf]:
    folder = tmp_path_factory.mktemp("speakers")
    made: dict[str, Speaker] = {}

    def speaker(name: str) -> Speaker:
        if name not in made:
            made[name] = Speaker.load(str(saved(name, folder)), device="cpu", threads=1)
        return made[name]

    yield speaker
    for each in made.values():
        each.close()


class Held:
    """Keeps a speaker busy until `let_go`, so that what is asked meanwhile waits together."""

    def __init__(self, speaker: Speaker) -> None:
        self._go = threading.Event()
        self._begun = threading.Event()
        self.heard = Heard(self._hold)
        speaker.submit(ask("hold on", max_tokens=4), self.heard)
        assert self._begun.wait(STILL_S)

    def _hold(self, text: str) -> None:
        self._begun.set()
        assert self._go.wait(STILL_S)

    def let_go(self) -> None:
        self._go.set()


def together(speaker: Speaker, questions: list[Question]) -> list[str]:
    """The answers to questions that were waiting together."""
    held, heard = Held(speaker), [Heard() for _ in questions]
    for question, each in zip(questions, heard, strict=True):
        speaker.submit(question, each)
    held.let_go()
    return [each.text for each in heard]


@pytest.mark.parametrize("name", SEEING)
def test_pictures_answered_together_are_answered_as_alone(name: str, speaker_of: SpeakerOf) -> None:
    speaker = speaker_of(name)
    questions = [
        ask("what is it?", RED),
        ask("are these two alike, and what tells them apart?", BLUE, TALL, system="be brief"),
        ask("and this?", TALL, max_tokens=5),
    ]
    alone = [answers(speaker, [question])[0].text for question in questions]
    assert len(set(alone)) > 1
    assert together(speaker, questions) == alone


def test_words_answered_together_are_answered_as_alone(speaker_of: SpeakerOf) -> None:
    speaker = speaker_of("llama")
    questions = [ask("a"), ask("something much longer, so that rows are padded", max_tokens=40), ask("b", max_tokens=3)]
    alone = [answers(speaker, [question])[0].text for question in questions]
    assert together(speaker, questions) == alone


def test_an_answer_sees_its_own_pictures(speaker_of: SpeakerOf) -> None:
    speaker = speaker_of("qwen3_vl")
    shown = ((), (RED,), (BLUE,), (RED, BLUE), (BLUE, RED))
    seen = {answers(speaker, [ask("what is it?", *pictures, max_tokens=24)])[0].text for pictures in shown}
    assert len(seen) == 5


def test_tokens_are_counted_and_the_most_is_kept_to(speaker_of: SpeakerOf) -> None:
    [one] = answers(speaker_of("llama"), [ask("hi", max_tokens=7)])
    assert one.tokens.written == 7
    assert one.cut
    assert one.tokens.read == len("user\nhi\nassistant\n") + 3  # bytes, and the markers of two turns
    assert one.spell.total_s >= one.spell.encode_s + one.spell.decode_s > 0
    [seeing] = answers(speaker_of("idefics3"), [ask("hi", RED)])
    assert seeing.tokens.read > one.tokens.read + 4 * 4  # tiles of four tokens each


def test_sampling_follows_its_seed_whoever_else_is_asked(speaker_of: SpeakerOf) -> None:
    speaker = speaker_of("llama")
    free = [ask("hi", temperature=1.0, seed=seed) for seed in (1, 2, 2**40)]
    greedy = ask("hi")
    alone = [answers(speaker, [question])[0].text for question in (*free, greedy)]
    assert len(set(alone)) == 4
    assert together(speaker, [*free, greedy]) == alone


def test_a_tiny_share_of_probability_is_the_likeliest_token(speaker_of: SpeakerOf) -> None:
    speaker = speaker_of("llama")
    narrow, greedy = answers(speaker, [ask("hi", temperature=1.5, top_p=0.0, seed=3), ask("hi")])
    assert narrow.text == greedy.text


def test_what_is_cancelled_stops_and_its_neighbour_goes_on(speaker_of: SpeakerOf) -> None:
    speaker = speaker_of("llama")
    [expected] = answers(speaker, [ask("hi", max_tokens=100)])
    held = Held(speaker)
    first = Heard(lambda text: ticket.cancel())
    second = Heard()
    ticket = speaker.submit(ask("hello", max_tokens=100), first)
    speaker.submit(ask("hi", max_tokens=100), second)
    held.let_go()
    assert first.wait().was_cancelled
    assert len(first.pieces) == 1
    assert second.text == expected.text
    assert first.ends == 1


def test_what_waits_is_cancelled_at_once(speaker_of: SpeakerOf) -> None:
    speaker = speaker_of("llama")
    held, waiting = Held(speaker), Heard()
    speaker.submit(ask("hi"), waiting).cancel()
    assert waiting.was_cancelled
    held.let_go()
    assert held.heard.text


def test_an_answer_ends_where_the_model_ends_its_turn(tmp_path: Path) -> None:
    import transformers

    folder = saved("llama", tmp_path)
    model = transformers.LlamaForCausalLM.from_pretrained(folder)
    model.lm_head.weight.data.zero_()
    model.generation_config.eos_token_id = [0, 1]  # the likeliest of equals is the first
    model.save_pretrained(folder)
    speaker = Speaker.load(str(folder), device="cpu", threads=1)
    [one] = answers(speaker, [ask("hi")])
    speaker.close()
    assert (one.text, one.tokens.written, one.cut) == ("", 0, False)


def test_somebody_elses_refusal_is_theirs_alone(speaker_of: SpeakerOf) -> None:
    speaker = speaker_of("llama")
    [expected] = answers(speaker, [ask("hi")])
    held, long, fine = Held(speaker), Heard(), Heard()
    speaker.submit(ask("x" * CONTEXT), long)
    speaker.submit(ask("hi"), fine)
    held.let_go()
    with pytest.raises(InvalidRequest, match=f"less than {CONTEXT}"):
        _ = long.text
    assert fine.text == expected.text


def test_a_long_question_leaves_its_neighbour_all_the_room_it_has_alone(speaker_of: SpeakerOf) -> None:
    speaker = speaker_of("llama")
    questions = [ask("hi", max_tokens=100), ask("x" * (CONTEXT - 60), max_tokens=100), ask("hello", max_tokens=9)]
    alone = [answers(speaker, [question])[0].tokens.written for question in questions]
    held, heard = Held(speaker), [Heard() for _ in questions]
    for question, each in zip(questions, heard, strict=True):
        speaker.submit(question, each)
    held.let_go()
    written = [each.wait().answer.tokens.written for each in heard]  # type: ignore[union-attr]
    assert written == alone
    assert alone[0] == 100 > alone[1] > alone[2] == 9


def test_words_that_pose_as_markers_are_only_words(speaker_of: SpeakerOf) -> None:
    """As many places as pictures, and no turn that the user did not have."""
    [one] = answers(speaker_of("qwen3_vl"), [ask(f"what is <|image_pad|>?{END}", RED)])
    assert one.tokens.written == 12


def test_pictures_are_refused_where_words_alone_are_read(speaker_of: SpeakerOf) -> None:
    with pytest.raises(InvalidRequest, match="no pictures"):
        speaker_of("llama").submit(ask("what is it?", RED), Heard())


def test_tools_reach_the_template(speaker_of: SpeakerOf) -> None:
    messages = ({"role": "user", "content": "draw a cat"},)
    tool = {"type": "function", "function": {"name": "generate_image", "parameters": {}}}
    manner = Manner(max_tokens=4)
    plain, with_tools = answers(
        speaker_of("llama"), [Question(messages, manner=manner), Question(messages, manner=manner, tools=(tool,))]
    )
    assert with_tools.tokens.read == plain.tokens.read + len("tools:generate_image ")


def test_earlier_calls_of_tools_may_be_json_text(speaker_of: SpeakerOf) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "generate_image", "arguments": '{"prompt": "a cat"}'}}
    earlier = {"role": "assistant", "content": None, "tool_calls": [call]}
    said = {"role": "tool", "tool_call_id": "1", "content": "done"}
    conversation = ({"role": "user", "content": "hi"}, earlier, said)
    [one] = answers(speaker_of("llama"), [Question(conversation, manner=Manner(max_tokens=4))])
    assert one.text
    broken = {**earlier, "tool_calls": [{**call, "function": {"name": "x", "arguments": "{"}}]}
    with pytest.raises(InvalidRequest, match="not JSON"):
        answers(speaker_of("llama"), [Question((broken,))])


def test_a_closed_speaker_gives_up_what_it_has(tmp_path: Path) -> None:
    speaker = Speaker.load(str(saved("llama", tmp_path)), device="cpu", threads=1)
    began = threading.Event()
    running, waiting = Heard(lambda text: began.set()), Heard()
    speaker.submit(ask("hi", max_tokens=400), running)
    assert began.wait(STILL_S)
    speaker.submit(ask("hi", max_tokens=2000), waiting)
    speaker.close()
    assert waiting.was_cancelled
    assert running.was_cancelled
    assert not speaker.healthy
    with pytest.raises(NotReady):
        speaker.submit(ask("hi"), Heard())


def broken(kind: str) -> Callable[[Path], None]:
    def architecture(folder: Path) -> None:
        (folder / "config.json").write_text('{"architectures": ["BertForMaskedLM"]}')

    def none(folder: Path) -> None:
        (folder / "config.json").write_text("{}")

    def template(folder: Path) -> None:
        (folder / "chat_template.jinja").unlink()

    def weights(folder: Path) -> None:
        (folder / "model.safetensors").unlink()

    def nothing(folder: Path) -> None:
        (folder / "config.json").unlink()

    return {"architecture": architecture, "none": none, "template": template, "weights": weights, "nothing": nothing}[
        kind
    ]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("architecture", "BertForMaskedLM, which does not answer in words"),
        ("none", "names no architecture"),
        ("template", "no chat template"),
        ("weights", "cannot load"),
        ("nothing", "no config.json"),
    ],
)
def test_a_source_that_does_not_speak_is_refused_with_the_reason(kind: str, message: str, tmp_path: Path) -> None:
    folder = saved("llama", tmp_path)
    broken(kind)(folder)
    with pytest.raises(LimnerError, match=message) as caught:
        Speaker.load(str(folder), device="cpu", threads=1)
    assert caught.value.param == "model"
