"""Answers in words on this machine: language models that may see, batched, each answer streamed on its own.

Owns models and threads of that kind; knows no HTTP, no catalogue and no asyncio. The values below are light; `Speaker`
brings torch along and is imported on first use.
"""

from typing import TYPE_CHECKING

from limner.engine.speaking.question import Answer, DType, Hearer, Manner, Message, Question, Spell, Ticket

if TYPE_CHECKING:
    from limner.engine.speaking.speaker import Speaker

__all__ = ["Answer", "DType", "Hearer", "Manner", "Message", "Question", "Speaker", "Spell", "Ticket"]


def __getattr__(name: str) -> object:
    if name == "Speaker":
        from limner.engine.speaking.speaker import Speaker

        return Speaker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
