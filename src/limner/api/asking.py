"""An images request as it arrives, in JSON or a form, and what it asks for.

Owns taking bodies apart and making a `Request` of them; the dialects that share OpenAI's fields read through it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ParamSpec, Protocol, TypeVar

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request as HttpRequest

from limner.api.gateway import gateway_of
from limner.api.openai.fields import ImageFields, flatten, model_params, parse, read_json
from limner.api.pictures import Source
from limner.api.sources import read_source, within
from limner.catalogue.resolve import PICTURELESS, PROMPTED
from limner.catalogue.values import SHOWN_CHARS, shown
from limner.core import Background, ImageFormat, Operation, Output, Picture, Request, Warning
from limner.errors import InvalidRequest, MissingParameter, TooLarge, UnsupportedMedia
from limner.media.mask import as_mask
from limner.tasks import together

IMAGE_FIELDS = ("image", "image[]", "images", "images[]", "url", "url[]")
CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1")

P = ParamSpec("P")
T = TypeVar("T")
SMALL_BYTES = 65_536  # of a body that is read faster than it is handed to a thread


@dataclass(frozen=True, slots=True)
class Body:
    """A request body taken apart: plain fields, pictures in the order given, and the mask."""

    fields: dict[str, Any]
    images: tuple[tuple[str, Source], ...] = ()
    mask: Source | None = None
    from_form: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What a body asks for: the checked fields beside it, and the body for its pictures. ``compare`` is asked, in a
    thread, what there is to say about the pictures once they are read."""

    operation: Operation
    body: Body
    fields: ImageFields
    compare: Callable[[Request], tuple[Warning, ...]] | None = None

    @classmethod
    def of(cls, operation: Operation, body: Body) -> "Asked":
        """Check the fields. Raises InvalidRequest, MissingParameter."""
        if operation is Operation.EDIT and body.mask is not None:
            operation = Operation.INPAINT
        if operation is Operation.DESCRIBE:
            _ask(body.fields)
        if operation not in PICTURELESS and not body.images:
            raise MissingParameter("Missing required parameter: 'image'", param="image")
        fields = parse(body.fields, from_form=body.from_form)
        if fields.prompt is None and operation in PROMPTED:
            raise MissingParameter("Missing required parameter: 'prompt'", param="prompt")
        return cls(operation, body, fields)


async def read_generation(http: HttpRequest) -> Asked:
    """A JSON body without pictures, unless the model's name asks for something that needs them."""
    fields = flatten(await read_object(http, _max_json_bytes(http)))
    operation = named_operation(http, fields) or Operation.GENERATE
    return Asked.of(operation, Body(fields) if operation is Operation.GENERATE else from_json(fields))


async def read_edit(http: HttpRequest) -> Asked:
    """A form or JSON with pictures, and perhaps with the operation; a mask makes an edit inpainting."""
    body = await _read_edit(http)
    given = body.fields.pop("operation", None)
    asked = None if given is None else parse_operation(given)
    return Asked.of(asked_operation(http, body.fields, asked) or Operation.EDIT, body)


async def read_operation(http: HttpRequest, operation: Operation) -> Asked:
    """As `read_edit`, where the route itself says the operation."""
    body = await _read_edit(http)
    asked_operation(http, body.fields, operation)
    return Asked.of(operation, body)


def parse_operation(given: object) -> Operation:
    """An operation by its name. Raises InvalidRequest."""
    if isinstance(given, str) and given in tuple(Operation):
        return Operation(given)
    allowed = ", ".join(operation.value for operation in Operation)
    raise InvalidRequest(f"Invalid value for 'operation': {shown(given)}. Allowed: {allowed}", param="operation")


def named_operation(http: HttpRequest, fields: Mapping[str, Any]) -> Operation | None:
    """What the model's name asks for, if it asks for anything."""
    name = fields.get("model")
    return gateway_of(http).service.roster.operation_of(name) if isinstance(name, str) else None


def asked_operation(http: HttpRequest, fields: Mapping[str, Any], asked: Operation | None) -> Operation | None:
    """What is asked for in so many words, or by the model's name. Raises InvalidRequest where these differ."""
    named = named_operation(http, fields)
    if asked is not None and named not in (None, asked):
        raise InvalidRequest(
            f"Invalid value for 'model': {shown(fields['model'])} means {named}, and {asked} is asked for",
            param="model",
        )
    return asked or named


def _ask(fields: dict[str, Any]) -> None:
    """Have the question of whoever wants an answer stand where prompts do. Raises InvalidRequest for two of them."""
    question = fields.pop("question", None)
    if question is None:
        return
    if fields.setdefault("prompt", question) != question:
        raise InvalidRequest("'question' and 'prompt' mean the same and differ; give one of them", param="question")


async def read_object(http: HttpRequest, limit_bytes: int) -> dict[str, Any]:
    """A JSON object as body. Raises UnsupportedMedia for another kind, or none: a form, or bytes without a type, need
    no permission from the browser, so that any page could send them."""
    kind = _media_type(http)
    if kind != "application/json":
        raise UnsupportedMedia(f"the body must be application/json, not {shown(kind)}")
    return await _json(http, limit_bytes)


def _max_json_bytes(http: HttpRequest) -> int:
    return gateway_of(http).settings.max_json_bytes


def _media_type(http: HttpRequest) -> str:
    return http.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _json(http: HttpRequest, limit_bytes: int) -> dict[str, Any]:
    """The body as an object; raises TooLarge as soon as it is longer than ``limit_bytes``."""
    chunks = bytearray()
    async for chunk in http.stream():
        chunks += chunk
        if len(chunks) > limit_bytes:
            raise TooLarge(f"the JSON body is larger than {limit_bytes} bytes, the most that is taken here")
    return await asyncio.to_thread(read_json, bytes(chunks)) if len(chunks) > SMALL_BYTES else read_json(bytes(chunks))


async def understood(http: HttpRequest, read: Callable[P, T], *args: P.args, **fields: P.kwargs) -> T:
    """What ``read`` makes of the request's body: at once, or for a long one on a thread, which costs a small one more
    than the reading."""
    length = http.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) <= SMALL_BYTES:
        return read(*args, **fields)
    return await asyncio.to_thread(read, *args, **fields)


async def _read_edit(http: HttpRequest) -> Body:
    kind = _media_type(http)
    if kind == "application/json":
        return from_json(flatten(await _json(http, gateway_of(http).settings.max_body_bytes)))
    if kind not in ("multipart/form-data", "application/x-www-form-urlencoded"):
        raise UnsupportedMedia(f"the body must be multipart/form-data or application/json, not {shown(kind)}")
    charset = parse_options_header(http.headers["content-type"])[1].get(b"charset", b"utf-8").decode("latin-1")
    if charset.lower() not in CHARSETS:
        raise UnsupportedMedia(f"the charset must be one of {', '.join(CHARSETS)}, not {shown(charset)}")
    return _from_form(await http.form(**gateway_of(http).form_limits))


def _from_form(form: FormData) -> Body:
    fields: dict[str, Any] = {}
    images: list[tuple[str, Source]] = []
    mask: Source | None = None
    for name, value in form.multi_items():
        if name in IMAGE_FIELDS:
            if _is_given(value):
                images.append((name.removesuffix("[]"), value))
        elif name == "mask":
            if not _is_given(value):
                continue
            if mask is not None:
                raise InvalidRequest("'mask' is given twice; one mask is taken", param="mask")
            mask = value
        elif isinstance(value, UploadFile):
            raise InvalidRequest(f"{shown(name)} is a file; files are taken as image, image[] and mask")
        elif name in fields and fields[name] != value:
            raise InvalidRequest(
                f"{shown(name)} is given twice: {shown(fields[name])} and {shown(value)}", param=name[:SHOWN_CHARS]
            )
        elif value != "":
            fields[name] = value
    images.sort(key=lambda image: isinstance(image[1], str))  # files first, then URLs, each in the order given
    return Body(flatten(fields), tuple(images), mask, from_form=True)


def _is_given(value: Source) -> bool:
    """Whether a picture field holds anything: browsers send an unused file field as an empty part without a name."""
    return bool(value.size or value.filename) if isinstance(value, UploadFile) else bool(value.strip())


def from_json(fields: dict[str, Any]) -> Body:
    """The JSON form of an edit: pictures as URL strings or ``{"image_url": ...}`` objects, single or in lists."""
    given = [(name, item) for name in IMAGE_FIELDS for item in _as_list(fields.pop(name, None))]
    images = tuple((name.removesuffix("[]"), _url_of(item, name)) for name, item in given)
    mask = fields.pop("mask", None)
    return Body(fields, images, None if mask is None else _url_of(mask, "mask"))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _url_of(item: Any, param: str) -> str:
    if isinstance(item, dict):
        item = item.get("image_url")
        if isinstance(item, dict):
            item = item.get("url")
    if not isinstance(item, str):
        raise InvalidRequest(f"{param!r} must be a data: or http(s) URL or {{'image_url': URL}}", param=param)
    return item


async def to_request(
    http: HttpRequest, asked: Asked, *, previews: int, timeout_s: float
) -> tuple[Request, tuple[Warning, ...]]:
    """The wire's fields as a Request; what can be refused without reading pictures is refused first. Fetching and
    decoding may take as long as the job itself, and no longer: raises DeadlineExceeded."""
    if not asked.body.images and asked.body.mask is None and asked.compare is None:  # nothing takes time
        return await _translate(http, asked, previews, timeout_s)
    async with within(min(timeout_s, gateway_of(http).settings.max_timeout_s)):
        request, warnings = await _translate(http, asked, previews, timeout_s)
        told = () if asked.compare is None else await asyncio.to_thread(asked.compare, request)
        return request, (*warnings, *told)


async def _translate(
    http: HttpRequest, asked: Asked, previews: int, timeout_s: float
) -> tuple[Request, tuple[Warning, ...]]:
    gateway, fields, body = gateway_of(http), asked.fields, asked.body
    roster = gateway.service.roster
    model = roster.route(fields.model or "", asked.operation, has_images=bool(body.images))
    roster.require_able(model, asked.operation)
    params = model_params(fields, model.spec, from_form=body.from_form)
    size, output, told = fields.parsed_size(), output_of(fields), fields.without_effect(model.spec)
    if body.images:
        gateway.pictures.check_count(len(body.images), model.spec.max_images, model.spec.id)
    inputs = await together(read_source(http, source, param) for param, source in body.images)
    request = Request(
        operation=asked.operation,
        model=model.spec.id,
        prompt=fields.prompt or "",
        inputs=inputs,
        mask=await _mask(http, body.mask, inputs),
        n=1 if fields.n is None else fields.n,
        size=size,
        seed=fields.seed,
        output=output,
        params=params,
        previews=previews,
        timeout_s=timeout_s,
    )
    return keep_background(request, told)


async def _mask(http: HttpRequest, source: Source | None, inputs: Sequence[Picture]) -> Picture | None:
    if source is None:
        return None
    picture = await read_source(http, source, "mask")
    return await asyncio.to_thread(as_mask, picture, inputs[0].size, param="mask")


class Encoded(Protocol):
    """Fields that say how pictures are encoded."""

    @property
    def output_format(self) -> ImageFormat | None: ...
    @property
    def output_compression(self) -> int | None: ...
    @property
    def background(self) -> Background | None: ...


def output_of(fields: Encoded) -> Output:
    """How the pictures are to be encoded. Raises InvalidRequest for transparency in a format without it."""
    output = Output(fields.output_format or "png", fields.output_compression, fields.background or "auto")
    if output.background == "transparent" and output.format == "jpeg":
        raise InvalidRequest("background 'transparent' needs output_format png or webp, not 'jpeg'", param="background")
    return output


def keep_background(request: Request, warnings: Sequence[Warning]) -> tuple[Request, tuple[Warning, ...]]:
    """What is cut out stays transparent, and what is enlarged as transparent as it is. No model here draws
    transparency, so say so rather than claim it."""
    output = request.output
    if request.operation is Operation.UPSCALE and request.inputs[0].mode == "RGBA":
        return request, tuple(warnings)
    if request.operation is Operation.REMOVE_BACKGROUND:
        kept = output.background == "opaque" or output.format == "jpeg"  # the resolver refuses jpeg unless it is opaque
        return (request if kept else _on(request, "transparent")), tuple(warnings)
    if output.background != "transparent":
        return request, tuple(warnings)
    told = Warning("background", "ignored", "'background' transparent has no effect: the model draws opaque pictures")
    return _on(request, "opaque"), (*warnings, told)


def _on(request: Request, background: Background) -> Request:
    return replace(request, output=replace(request.output, background=background))
