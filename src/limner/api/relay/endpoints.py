"""The Relay's endpoints as data, and reading what is sent to them.

Owns which model each path means, what its reply holds, and the defaults of its document; the parameters themselves are
the catalogue's, under that model's id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from limner.api.composing import Brief
from limner.api.drawing import Drawing, in_their_words, settle
from limner.api.validation import checked_fields
from limner.catalogue.images import PLAIN, arrange, image_params
from limner.catalogue.spec import ModelSpec
from limner.config import Settings
from limner.core import Operation, ParamValue
from limner.errors import InvalidRequest, MissingParameter
from limner.media.decode import is_data_url
from limner.store.rows import Hook
from limner.webhooks import parse_hook

Holds: TypeAlias = Literal["b64", "url", "urls", "a1111"]
LIMIT_S = 300.0  # of a call that waits
MASK = "mask"
IMAGE_NAMES = (PLAIN, "images", "input_image", *(f"input_image_{number}" for number in range(2, 9)))
A1111_MODEL = "Realistic_Vision_V5.1.safetensors"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path below ``/v2/image``, the model that it means, what its reply ``holds``, and what that model draws when
    the client says nothing."""

    path: str
    model: str
    title: str
    holds: Holds
    operation: Operation = Operation.GENERATE
    defaults: Mapping[str, str] = field(default_factory=dict)

    def means(self, spec: ModelSpec) -> bool:
        """Whether ``spec`` is the path's own model, and not another one that was named."""
        return self.model.casefold() in (name.casefold() for name in (spec.id, *spec.aliases))


_SQUARE: Final[Mapping[str, str]] = {"size": "1024x1024"}
ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint("/v2/image/flux/generate", "black-forest-labs/FLUX-2-pro", "Flux", "b64"),
    Endpoint("/v2/image/gemini-3/generate", "google/gemini-3-pro-T2I", "Gemini", "b64"),
    Endpoint("/v2/image/gpt-image/generate", "openai/gpt-image-1.5-T2I", "GPT Image", "url"),
    Endpoint("/v2/image/gpt-image/edit", "openai/gpt-image-1.5-I2I", "GPT Image", "url", Operation.EDIT),
    Endpoint("/v2/image/qwen/generate", "Qwen/qwen-image", "Qwen", "urls", defaults=_SQUARE),
    Endpoint("/v2/image/qwen/edit", "Qwen/qwen-image-edit", "Qwen", "urls", Operation.EDIT, _SQUARE),
)


class Common(BaseModel):
    """What every endpoint takes; the rest are the model's parameters. None and absent mean the same."""

    model_config = ConfigDict(frozen=True, extra="allow")

    prompt: str | None = None
    model: str | None = None
    asynchronous: bool = Field(False, alias="async")
    webhook_url: str | None = None


def parse(body: Mapping[str, Any]) -> Common:
    """The body's fields. Raises InvalidRequest; a missing prompt is told by the catalogue."""
    return checked_fields(Common, {name: value for name, value in body.items() if value is not None})


def hook_of(url: str, settings: Settings) -> Hook:
    """The hook that ``webhook_url`` means. Raises InvalidRequest."""
    try:
        return parse_hook(url, settings)
    except InvalidRequest as error:
        in_their_words(error, {"webhook.url": "webhook_url", "webhook": "webhook_url"})
        raise


def brief_of(endpoint: Endpoint, fields: Common, spec: ModelSpec, timeout_s: float) -> Brief:
    """What ``fields`` ask for of the model of ``spec``, its pictures still unread.

    Raises InvalidRequest, MissingParameter, UnknownParameter.
    """
    given = {**(endpoint.defaults if endpoint.means(spec) else {}), **(fields.model_extra or {})}
    pictures, counts = _pictures(given, spec)
    mask = given.pop(MASK, None)
    if endpoint.operation is not Operation.GENERATE and not pictures:
        raise MissingParameter("Missing required parameter: 'image'", param="image")
    drawing: Drawing = settle(given, spec, tolerated=False)
    params: Mapping[str, ParamValue] = {**drawing.params, **counts}
    return Brief(
        prompt=fields.prompt or "",
        pictures=pictures,
        mask=None if mask is None else (MASK, _source(mask, MASK)),
        drawing=replace(drawing, params=params, timeout_s=timeout_s),
    )


def _pictures(given: dict[str, Any], spec: ModelSpec) -> tuple[Sequence[tuple[str, str]], Mapping[str, ParamValue]]:
    """Take the pictures out of ``given``, in the order of the model's table; a model without names of its own for them
    takes any of the Relay's."""
    own = [param.name for param in image_params(spec)]
    by_name = {
        name: [_source(one, name) for one in _listed(given.pop(name))] for name in own or IMAGE_NAMES if name in given
    }
    if not own:
        return [(name, source) for name, sources in by_name.items() for source in sources], {}
    arranged = arrange(spec, by_name)
    return arranged.pictures, arranged.params


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _source(value: Any, name: str) -> str:
    """A data URL, an http(s) URL, or bare base64, which is the usual form here."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequest(f"{name!r} must be base64, or a data: or http(s) URL", param=name)
    known = is_data_url(value) or value[:8].lower().startswith(("http://", "https://"))
    return value if known else f"data:;base64,{value}"
