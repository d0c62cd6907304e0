"""Which kind of speaker a checkpoint is, from the architecture that its config.json names.

Owns that rule; imports no torch.
"""

from enum import Enum, auto

from limner.errors import InvalidRequest


class Kind(Enum):
    """How a model is asked."""

    SEES = auto()  # a conversation with pictures (image-text-to-text)
    WRITES = auto()  # a conversation in words alone
    CAPTIONS = auto()  # a picture, to which it says what is on it


_SUFFIXES = (
    ("VisionEncoderDecoderModel", Kind.CAPTIONS),
    ("ForConditionalGeneration", Kind.SEES),
    ("ForImageTextToText", Kind.SEES),
    ("ForCausalLM", Kind.WRITES),
    ("LMHeadModel", Kind.WRITES),
)


def kind_of(architecture: str, where: str) -> Kind:
    """The kind of a class of transformers; raises InvalidRequest, naming ``where``, for one that does not speak."""
    for suffix, kind in _SUFFIXES:
        if architecture.endswith(suffix):
            return kind
    known = ", ".join(f"*{suffix}" for suffix, _ in _SUFFIXES)
    raise InvalidRequest(
        f"{where} is a {architecture}, which does not answer in words. Allowed: {known}", param="model"
    )
