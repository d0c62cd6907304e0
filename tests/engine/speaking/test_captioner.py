"""A model that captions, asked questions."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import transformers

from limner.engine.devices import resolve
from limner.engine.sample import EngineSettings, LoadedModel
from limner.engine.speaking import Speaker
from limner.engine.speaking.captioner import UNREADABLE, Captioner
from limner.engine.speaking.load import PILLOW
from tests.engine.speaking.asking import Heard, answers, ask, colour
from tests.tiny_speakers import saved

RED, BLUE = colour("red"), colour("blue", 20, 60)
MOST = 23  # positions of the tiny decoder, less the one that begins


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved("captioner", tmp_path_factory.mktemp("captioner"))


class Answering:
    """Remembers what the answers were made of."""

    def __init__(self) -> None:
        self.asked: list[tuple[Sequence[str], str]] = []

    def __call__(self, captions: Sequence[str], question: str) -> str:
        self.asked.append((captions, question))
        return f"{len(captions)} seen"


@pytest.fixture
def answering() -> Answering:
    return Answering()


@pytest.fixture
def speaker(folder: Path, answering: Answering) -> Iterator[Speaker]:
    device = resolve(EngineSettings(device="cpu", threads=1))
    model = transformers.VisionEncoderDecoderModel.from_pretrained(folder).eval()
    looking = transformers.AutoImageProcessor.from_pretrained(folder, backend=PILLOW)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    voice = Captioner(model, looking, tokenizer, device, answering)
    made = Speaker(voice, LoadedModel("reader", "VisionEncoderDecoderModel", "1", 0), device)
    yield made
    made.close()


def test_every_picture_is_captioned_and_the_answer_made_of_the_captions(speaker: Speaker, answering: Answering) -> None:
    two, none = answers(speaker, [ask("alike?", RED, BLUE), ask("what can you do?")])
    assert (two.text, none.text) == ("2 seen", "0 seen")
    (captions, question), (nothing, other) = answering.asked
    assert (len(captions), question, len(nothing), other) == (2, "alike?", 0, "what can you do?")
    assert two.tokens.read == 2 * (4 * 4 + 1)  # patches of 8 pixels, and the one for the whole
    assert 0 < two.tokens.written <= 2 * MOST
    assert (none.tokens.read, none.tokens.written) == (0, 0)


def test_captions_together_are_captions_alone(speaker: Speaker, answering: Answering) -> None:
    answers(speaker, [ask("a", RED), ask("b", BLUE)])
    answers(speaker, [ask("c", RED, BLUE)])
    captions = [caption for seen, _ in answering.asked for caption in seen]
    assert captions[:2] == captions[2:]
    assert UNREADABLE not in captions


def test_the_shipped_answers_are_used_of_a_loaded_one(folder: Path) -> None:
    speaker = Speaker.load(str(folder), device="cpu", threads=1)
    heard = Heard()
    speaker.submit(ask("what is in it?", RED), heard)
    assert heard.text
    assert heard.answer is not None
    assert heard.answer.cut is False
    speaker.close()
