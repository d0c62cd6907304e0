"""One call of Google's wire, from its checked body to the job: what `generateContent` and `predict` do alike.

Owns bringing the shared fields into the words of the model that is asked, and ``X-Server-Timeout``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.asking_back import may_ask_back
from limner.api.calls import Read, Wire, conduct
from limner.api.chat.pictures import in_order
from limner.api.chat.replies import Answer, Head, Telling, words_answer
from limner.api.chat.turns import Asking, Plan, fitted, planned
from limner.api.composing import Brief, to_request
from limner.api.drawing import Drawing, in_their_words, settle, settle_spoken, told_in_their_words
from limner.api.gateway import gateway_of
from limner.api.gemini.asking import SYSTEM, Asked, unspoken
from limner.api.gemini.fields import ignored
from limner.api.jobs.replies import nothing_response
from limner.api.manners import manners_of
from limner.catalogue.sizing import off_ratio
from limner.catalogue.spec import ModelSpec
from limner.catalogue.values import shown
from limner.core import Operation, Request, Said, Warning
from limner.errors import InvalidRequest, LimnerError

TIMEOUT = "X-Server-Timeout"  # seconds; what Google's SDKs make of their `timeout` option
SPOKEN: Mapping[str, str] = {"max_output_tokens": "max_tokens", "temperature": "temperature", "top_p": "top_p"}
SAME = ("512", "0.5K", "512px")  # names of one resolution


@dataclass(frozen=True, slots=True)
class Form:
    """How one of the methods answers: for a job, and with words for which nothing is run."""

    wire_of: Callable[[Telling], Wire]
    said: Callable[[Answer], Response]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call before its pictures are read: the model, how the Request is made, and what its reply tells."""

    spec: ModelSpec
    read: Read
    telling: Telling


def plan_of(http: HttpRequest, model: str, asked: Asked) -> Plan:
    """What ``asked`` means to ``model``. Raises ModelNotFound and InvalidRequest."""
    return planned(http, Asking(model, asked.conversation, modalities=asked.modalities))


def prepare(http: HttpRequest, plan: Plan, asked: Asked) -> Prepared:
    """How ``plan``, which runs a model, is carried out."""
    spec = plan.spec
    assert spec is not None, "what is run has a model"
    usual = {"n": None if plan.n else min(asked.usual_n, spec.max_n), "timeout": _timeout_s(http)}

    async def read() -> tuple[Request, tuple[Warning, ...]]:
        pictures, counts = in_order(spec, plan.pictures, {})
        if plan.operation is Operation.DESCRIBE:
            drawing, warnings = _words_of(asked, usual, spec)
        else:
            given, warnings = in_words_of(spec, {**usual, **asked.given}, asked.names)
            fields, more = fitted({**given, **counts}, plan)
            drawing = plan.sized(settle(fields, spec, tolerated=False), fields)
            warnings = (*unspoken(asked, ()), *warnings, *more)
        brief = Brief(plan.prompt, pictures, plan.named_mask, drawing, 0, plan.operation, _history(asked, plan))
        request, told = await to_request(http, spec, brief)
        return in_shape_of_first(request, spec), (*asked.warnings, *warnings, *told)

    return Prepared(spec, read, Telling(plan.reason, asked.names))


def _words_of(asked: Asked, usual: Mapping[str, Any], spec: ModelSpec) -> tuple[Drawing, tuple[Warning, ...]]:
    """How an answer in words is made; what is said of pictures has no effect on it."""
    own = {ours: asked.about_words[name] for name, ours in SPOKEN.items() if name in asked.about_words}
    drawing, told = settle_spoken({**asked.given, "timeout": usual["timeout"]}, own, spec)
    theirs = (told_in_their_words(warning, asked.names) for warning in told)
    return drawing, (*unspoken(asked, (*SPOKEN, SYSTEM)), *theirs)


def _history(asked: Asked, plan: Plan) -> tuple[Said, ...]:
    """What was said before, the system's instruction first; for answers in words."""
    if plan.operation is not Operation.DESCRIBE:
        return ()
    system = asked.about_words.get(SYSTEM)
    return (*((Said("system", system),) if system else ()), *plan.history)


async def answer(http: HttpRequest, model: str, asked: Asked, form: Form) -> Response:
    """Do what was asked for; errors name the fields as the body does."""
    try:
        plan = plan_of(http, model, asked)
        if plan.reply is not None:
            if manners_of(http).estimate:
                return nothing_response()
            return form.said(words_answer(Head.of_words(model), plan.prompt, plan.reply, plan.reason))
        prepared = prepare(http, plan, asked)
        wire = form.wire_of(prepared.telling)
        wire = replace(wire, converses=wire.converses and may_ask_back(asked.modalities))
        return await conduct(http, prepared.spec.id, prepared.read, wire)
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
        warnings = (ignored(names["rewrite_prompt"], f"{spec.id} draws the prompt as it is"),)
    return fields, warnings


def in_shape_of_first(request: Request, spec: ModelSpec) -> Request:
    """``request`` with the aspect ratio that is nearest to its first picture's, where Gemini would choose that too:
    nothing was said, and the model has words for it."""
    ratio = spec.params.get("aspect_ratio")
    if ratio is None or not request.inputs or request.size is not None or "aspect_ratio" in request.params:
        return request
    first = request.inputs[0].size
    shapes = {name: size for name, size in ratio.sizes.items() if size is not None}
    nearest = min(shapes, key=lambda name: off_ratio(shapes[name], first.width_px / first.height_px), default=None)
    return replace(request, params={**request.params, "aspect_ratio": nearest})


def _resolution(spec: ModelSpec, name: str, value: object) -> str:
    """The model's own name of the resolution, where it has one. Raises InvalidRequest."""
    if not isinstance(value, str):
        raise InvalidRequest(
            f"Invalid value for 'image_size': {shown(value)}. Allowed: text such as '1K'", param="image_size"
        )
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
