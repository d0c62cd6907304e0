"""One call of Google's wire, from its checked body to the job: what `generateContent` and `predict` do alike.

Owns bringing the shared fields into the words of the model that is asked, and ``X-Server-Timeout``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.calls import Read, Wire, conduct
from limner.api.chat_prompt import wanted
from limner.api.chat_replies import Telling
from limner.api.composing import Brief, model_for, to_request
from limner.api.drawing import in_their_words, settle
from limner.api.gateway import gateway_of
from limner.api.gemini.asking import Asked
from limner.api.gemini.fields import without_effect
from limner.catalogue.spec import ModelSpec
from limner.catalogue.values import shown
from limner.core import Operation, Request, Warning
from limner.errors import InvalidRequest, LimnerError

TIMEOUT = "X-Server-Timeout"  # seconds; what Google's SDKs make of their `timeout` option
SAME = ("512", "0.5K", "512px")  # names of one resolution


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call before its pictures are read: the model, how the Request is made, and what its reply tells."""

    spec: ModelSpec
    read: Read
    telling: Telling


def prepare(http: HttpRequest, model: str, asked: Asked) -> Prepared:
    """What ``asked`` means to ``model``. Raises ModelNotFound and InvalidRequest."""
    spec = model_for(http, model, has_pictures=bool(asked.conversation.pictures))
    takes_pictures = any(operation is not Operation.GENERATE for operation in spec.operations)
    want = wanted(asked.conversation, prompt=None, references=(), takes_pictures=takes_pictures)
    telling = Telling(want.reason, asked.names)
    given, warnings = in_words_of(spec, {**asked.given, "timeout": _timeout_s(http)}, asked.names)

    async def read() -> tuple[Request, tuple[Warning, ...]]:
        drawing = settle(given, spec, tolerated=False)
        request, told = await to_request(http, spec, Brief(want.prompt, want.named, None, drawing))
        return request, (*asked.warnings, *warnings, *told)

    return Prepared(spec, read, telling)


async def answer(http: HttpRequest, model: str, asked: Asked, wire_of: Callable[[Telling], Wire]) -> Response:
    """Draw what was asked for; errors name the fields as the body does."""
    try:
        prepared = prepare(http, model, asked)
        return await conduct(http, prepared.spec.id, prepared.read, wire_of(prepared.telling))
    except LimnerError as error:
        in_their_words(error, asked.names)
        raise


def in_words_of(
    spec: ModelSpec, given: Mapping[str, Any], names: Mapping[str, str]
) -> tuple[dict[str, Any], tuple[Warning, ...]]:
    """``given`` with what the model calls otherwise, and what it is not asked for, brought into its own words."""
    fields = {name: value for name, value in given.items() if value is not None}
    warnings: tuple[Warning, ...] = ()
    if "image_size" in fields:
        name = "resolution" if "resolution" in spec.params and "image_size" not in spec.params else "image_size"
        fields[name] = _resolution(spec, name, fields.pop("image_size"))
    if "guidance_scale" in fields and "guidance_scale" not in spec.params and "true_cfg_scale" in spec.params:
        fields["true_cfg_scale"] = fields.pop("guidance_scale")
    if "rewrite_prompt" in fields and "rewrite_prompt" not in spec.params and fields.pop("rewrite_prompt"):
        place = names["rewrite_prompt"]
        warnings = without_effect("", [place], f"{spec.id} draws the prompt as it is")
    return fields, warnings


def _resolution(spec: ModelSpec, name: str, value: str) -> str:
    """The model's own name of the resolution, where it has one."""
    choices = spec.params[name].choices if name in spec.params else ()
    same = SAME if value.upper() in (one.upper() for one in SAME) else (value, value.upper())
    return next((one for one in same if one in choices), same[0])


def _timeout_s(http: HttpRequest) -> float | None:
    """The job's deadline as the SDK asks for it, at most what is allowed. Raises InvalidRequest."""
    text = http.headers.get(TIMEOUT)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise InvalidRequest(f"Invalid value for {TIMEOUT!r}: {shown(text)}. Allowed: whole seconds", param=TIMEOUT)
    return min(float(text), gateway_of(http).settings.max_timeout_s)
