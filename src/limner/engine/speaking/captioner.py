"""A model that says what is on a picture, answering questions: captions first, an answer made of them second.

Owns the way through generate for such models; what an answer sounds like is `answers`' business.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import torch

from limner.core import Tokens
from limner.engine.devices import Device
from limner.engine.speaking.question import Question
from limner.engine.speaking.reply import Reply

if TYPE_CHECKING:
    from PIL.Image import Image

Answers = Callable[[Sequence[str], str], str]
MAX_CAPTION_TOKENS = 128
LONGEST = 1.75  # longer side over shorter
UNREADABLE = "unknown"  # what the caption of a picture says that the model makes nothing of


@dataclass(frozen=True, slots=True)
class Caption:
    """What a picture's caption says, how many tokens its encoder made of it, and how many were written."""

    text: str
    read: int
    written: int


class Captioner:
    """A VisionEncoderDecoderModel with its image processor and the tokenizer of its decoder. ``answers`` makes the
    answer of captions and a question."""

    def __init__(self, model: Any, image_processor: Any, tokenizer: Any, device: Device, answers: Answers) -> None:
        self._model, self._image_processor, self._tokenizer, self._device = model, image_processor, tokenizer, device
        self._answers = answers
        model.generation_config.max_length = None
        # What follows a caption's end in a batch is padding that nobody reads; transformers would warn of it.
        model.decoder.config.pad_token_id = None
        positions = getattr(model.config.decoder, "max_position_embeddings", MAX_CAPTION_TOKENS + 1)
        self._most_tokens = min(MAX_CAPTION_TOKENS, positions - 1)

    def check(self, question: Question) -> None:
        """Nothing: it answers whatever is asked, if only with what it does not know."""

    def answer(self, replies: Sequence[Reply]) -> None:
        """Caption the pictures of all of ``replies`` at once and answer each. Raises what the model raises."""
        pictures = [picture for reply in replies for picture in reply.question.pictures]
        began = monotonic()
        patches = self._looked(pictures) if pictures else None
        looked = monotonic()
        captions = iter(self._captions(patches, replies) if pictures else ())
        encode_s, decode_s = (looked - began) / len(replies), (monotonic() - looked) / len(replies)
        for reply in replies:
            own = [next(captions) for _ in reply.question.pictures]
            reply.spent(encode_s=encode_s, decode_s=decode_s)
            if reply.cancelled:
                reply.give_up()
            else:
                tokens = Tokens(sum(one.read for one in own), sum(one.written for one in own))
                reply.finish(self._answers([one.text for one in own], reply.question.asked), tokens)

    def _looked(self, pictures: Sequence[Any]) -> Any:
        """What the encoder makes of pictures: ``last_hidden_state``  # (N, patches, hidden)"""
        pictures = [no_longer(picture) for picture in pictures]
        pixels = self._image_processor(pictures, return_tensors="pt")["pixel_values"]  # (N, 3, H, W)
        return self._model.encoder(pixel_values=pixels.to(self._device.name, self._model.dtype))

    def _captions(self, patches: Any, replies: Sequence[Reply]) -> list[Caption]:
        written = self._model.generate(
            encoder_outputs=patches,
            max_new_tokens=self._most_tokens,
            stopping_criteria=[lambda ids, scores: _given_up(ids, replies)],
        )
        read = int(patches.last_hidden_state.shape[1])
        return [Caption(self._text(row), read, self._length(row)) for row in written.tolist()]

    def _text(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True)).strip() or UNREADABLE

    def _length(self, tokens: list[int]) -> int:
        """How many tokens are words."""
        special = set(self._tokenizer.all_special_ids)
        return sum(token not in special for token in tokens)


def no_longer(picture: "Image") -> "Image":
    """``picture`` (RGB), one that is longer than those such models have learnt from on a ground of its corner's colour:
    they take what their processor fills it up with for a part of it."""
    width, height = picture.size
    if max(width, height) <= LONGEST * min(width, height):
        return picture
    least = math.ceil(max(width, height) / LONGEST)
    ground = picture.resize((max(width, least), max(height, least)), box=(0, 0, 1, 1))
    ground.paste(picture, ((ground.width - width) // 2, (ground.height - height) // 2))
    return ground


def _given_up(ids: torch.Tensor, replies: Sequence[Reply]) -> torch.Tensor:
    """Whether nobody waits for any caption of the batch any more  # (N,), bool"""
    return torch.full((ids.shape[0],), all(reply.cancelled for reply in replies), device=ids.device)
