"""Prompts put into better words before their job is accepted, where a request or its model asks for that.

Owns who is asked, and what of it the request keeps; what a rewritten prompt must keep is `chat.rewriting`'s.
"""

from dataclasses import replace

from limner.catalogue import ModelSpec
from limner.chat.language import LanguageModel
from limner.chat.rewriting import PARAM, rewrite
from limner.core import Request, Warning
from limner.errors import InvalidRequest


def rewriter_of(
    request: Request, spec: ModelSpec, language: LanguageModel | None
) -> tuple[Request, LanguageModel | None]:
    """``request`` as it is to be resolved, and who is to rewrite its prompt, if anybody. Without a language model it
    stays as it is, for the model's table to say what becomes of ``rewrite_prompt``. Raises InvalidRequest."""
    if language is None:
        return request, None
    asked = request.params.get(PARAM)
    if asked is None:
        asked = spec.params[PARAM].default if PARAM in spec.params else False
    if not isinstance(asked, bool):
        raise InvalidRequest(f"Invalid value for {PARAM!r}: {asked!r}. Allowed: true or false", param=PARAM)
    params = {name: value for name, value in request.params.items() if name != PARAM}
    if PARAM in spec.params:
        params[PARAM] = False  # done here, or not wanted: the table has nothing more to say of it
    return replace(request, params=params), language if asked else None


async def in_better_words(request: Request, language: LanguageModel) -> tuple[Request, tuple[Warning, ...]]:
    """``request`` with the prompt that the language model has found, and what there is to say about that."""
    rewritten = await rewrite(request.prompt, language, operation=request.operation)
    return replace(request, prompt=rewritten.prompt), rewritten.warnings
