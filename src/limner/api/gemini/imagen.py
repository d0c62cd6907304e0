"""What a body of Imagen's ``predict`` asks for, in the flat fields that all dialects share.

Owns Imagen's parameters: which are honoured, which are taken and have no effect, which are refused.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, StrictBool

from limner.api.drawing import merged
from limner.api.gemini.asking import Asked, ImageOutput, own_params
from limner.api.gemini.fields import Fields, Whole, placed, read_fields, read_object, without_effect
from limner.catalogue.values import shown
from limner.chat import Conversation, Turn
from limner.core import Warning
from limner.errors import InvalidRequest, MissingParameter

PARAMETERS, INSTANCE = "parameters", "instances[0]"
DEFAULT_COUNT = 4  # what Imagen draws when no number is given
UNUSED: Mapping[str, str] = {
    "person_generation": "whoever draws goes by their own rules",
    "safety_setting": "whoever draws goes by their own rules",
    "safety_filter_level": "whoever draws goes by their own rules",
    "include_safety_attributes": "nothing is rated here",
    "language": "the prompt goes to the model as it is",
    "add_watermark": "pictures carry their recipe, and no watermark",
}
HARMLESS = frozenset({"include_rai_reason"})  # the reason is always told
ASKS_FOR_NOTHING = (False, "auto")
NAMES: Mapping[str, str] = {
    "n": f"{PARAMETERS}.sampleCount",
    "num_images": f"{PARAMETERS}.sampleCount",
    "seed": f"{PARAMETERS}.seed",
    "aspect_ratio": f"{PARAMETERS}.aspectRatio",
    "image_size": f"{PARAMETERS}.sampleImageSize",
    "resolution": f"{PARAMETERS}.sampleImageSize",
    "output_compression": f"{PARAMETERS}.outputOptions.compressionQuality",
    "rewrite_prompt": f"{PARAMETERS}.enhancePrompt",
    "prompt": f"{INSTANCE}.prompt",
    "modalities": "model",  # which promises pictures by being asked for them here
}


class Parameters(Fields):
    """``parameters``; what else it holds are the model's own parameters."""

    sample_count: Whole | None = Field(None, ge=1)
    seed: Whole | None = None
    aspect_ratio: str | None = None
    sample_image_size: str | None = None
    image_size: str | None = None
    enhance_prompt: StrictBool | None = None
    output_options: dict[str, Any] | None = None


def read_prediction(body: Mapping[str, Any]) -> Asked:
    """A body of ``predict``. Raises InvalidRequest and its kinds."""
    fields = read_object(body, "", ("instances", "parameters", "labels"))
    asked = read_fields(Parameters, fields.get("parameters"), PARAMETERS)
    own = own_params(asked, frozenset(UNUSED) | HARMLESS)
    options = f"{PARAMETERS}.outputOptions"
    return Asked(
        Conversation((Turn("user", _prompt(fields.get("instances"))),)),
        merged(
            (PARAMETERS, own),
            (PARAMETERS, _common(asked)),
            (PARAMETERS, {"image_size": asked.image_size}),
            (options, read_fields(ImageOutput, asked.output_options, options).given()),
        ),
        {**{name: placed(PARAMETERS, name) for name in own}, **NAMES},
        _unused(asked, fields),
        usual_n=DEFAULT_COUNT,
    )


def _common(asked: Parameters) -> dict[str, Any]:
    return {
        "n": asked.sample_count,
        "seed": asked.seed,
        "aspect_ratio": asked.aspect_ratio,
        "image_size": asked.sample_image_size,
        "rewrite_prompt": asked.enhance_prompt,
    }


def _prompt(instances: object) -> str:
    """The one instance's words. Raises InvalidRequest, MissingParameter."""
    if instances is None or instances == []:
        raise MissingParameter("Missing required parameter: 'instances'", param="instances")
    if isinstance(instances, dict):  # some clients leave the list out
        instances = [instances]
    if not isinstance(instances, list) or len(instances) != 1:
        raise InvalidRequest(
            f"Invalid value for 'instances': {shown(instances)}. Allowed: a list of one object with a prompt",
            param="instances",
        )
    prompt = read_object(instances[0], INSTANCE, ("prompt",)).get("prompt")
    if not isinstance(prompt, str):
        raise MissingParameter(f"Missing required parameter: '{INSTANCE}.prompt'", param=f"{INSTANCE}.prompt")
    return prompt


def _unused(asked: Parameters, fields: Mapping[str, Any]) -> tuple[Warning, ...]:
    given = asked.model_extra or {}
    return tuple(
        told
        for name, reason in UNUSED.items()
        if name in given and given[name] not in ASKS_FOR_NOTHING
        for told in without_effect(PARAMETERS, [name], reason)
    ) + (without_effect("", ["labels"], "nothing is billed by them") if fields.get("labels") else ())
