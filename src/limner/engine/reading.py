"""How much of a prompt a pipeline reads: text encoders cut what is too long, and say so only in a log.

Owns the ways in which diffusers' pipelines turn a prompt into tokens; where it does not know one it does not guess.
"""

import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MARK = "limnerprompt"  # stands for the prompt in a template, to see what comes before it


@dataclass(frozen=True, slots=True)
class Reading:
    """Tokens of a prompt, how many of them the model reads at most, and what ``max_sequence_length`` reads them all.

    ``length`` counts the template and marks that stand around the prompt, even those that a pipeline leaves out.
    """

    tokens: int
    limit: int
    length: int


def reading(pipeline: Any, tokenizers: Mapping[str, Any], text: str, arguments: Mapping[str, Any]) -> Reading | None:
    """What ``pipeline`` reads of ``text`` in the tokenizer that reads furthest; None where that cannot be known.

    ``tokenizers`` are used in place of the pipeline's own and must belong to this thread. ``arguments`` are the call's.
    """
    encode = getattr(pipeline, "encode_prompt", None)
    if encode is None or "image" in inspect.signature(encode).parameters:  # pictures take tokens, too
        return None
    from transformers import PreTrainedTokenizerBase

    if not tokenizers or not all(isinstance(one, PreTrainedTokenizerBase) for one in tokenizers.values()):
        return None
    limits = {name: _limit(pipeline, one, arguments) for name, one in tokenizers.items()}
    furthest = max(tokenizers, key=lambda name: limits[name] or 0)
    limit, tokenizer = limits[furthest], tokenizers[furthest]
    if limit is None:
        return None
    template = getattr(pipeline, "prompt_template_encode", None)
    if isinstance(template, str):
        full, empty = (_count(tokenizer, template.format(part)) for part in (text, ""))
        return Reading(full - empty, limit, full)
    kind: Any = type(pipeline)  # mypy takes no class for hashable
    if _uses_chat(kind):
        full, empty = (_count(tokenizer, _chat(tokenizer, part)) for part in (text, ""))
        before = _count(tokenizer, _chat(tokenizer, _MARK).partition(_MARK)[0])  # what comes after is cut first
        return Reading(full - empty, limit - before, full)
    own = _count(tokenizer, "")  # marks of beginning and end, which are kept whatever is cut
    full = _count(tokenizer, text)
    return Reading(full - own, limit - own, full)


def _limit(pipeline: Any, tokenizer: Any, arguments: Mapping[str, Any]) -> int | None:
    """CLIP has as many positions as its tokenizer says; other encoders read as much as the pipeline is told to."""
    parameters = inspect.signature(type(pipeline).__call__).parameters
    if type(tokenizer).__name__.startswith("CLIP") or "max_sequence_length" not in parameters:
        limit = tokenizer.model_max_length
    else:
        limit = arguments.get("max_sequence_length", parameters["max_sequence_length"].default)
    return limit if isinstance(limit, int) and limit < 10**6 else None  # tokenizers without a limit say 10**30


@functools.cache
def _uses_chat(kind: Any) -> bool:
    """Whether this class puts prompts into its tokenizer's chat template: nothing but its source tells."""
    try:
        return "apply_chat_template" in inspect.getsource(kind)
    except (OSError, TypeError):
        return False


def _chat(tokenizer: Any, text: str) -> str:
    messages = [{"role": "user", "content": text}]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def _count(tokenizer: Any, text: str) -> int:
    return len(tokenizer(text, truncation=False, padding=False, verbose=False)["input_ids"])
