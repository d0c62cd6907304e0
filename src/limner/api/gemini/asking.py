"""What a body of ``generateContent`` asks for, in the flat fields that all dialects share.

Owns Gemini's parameters: which are honoured, which are taken and have no effect, which are refused.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator

from limner.api.drawing import merged
from limner.api.gemini.contents import read_contents, read_instruction
from limner.api.gemini.fields import Fields, Whole, placed, read_fields, read_object, without_effect
from limner.catalogue.values import shown
from limner.chat import Conversation
from limner.core import ImageFormat, Warning
from limner.errors import InvalidRequest

FORMATS: Mapping[str, ImageFormat] = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/webp": "webp",
}
MODALITIES = frozenset({"TEXT", "IMAGE"})
WRAPPED = frozenset({"generateContentRequest", "generate_content_request"})
CONFIG, IMAGE_CONFIG = "generationConfig", "generationConfig.imageConfig"
BODY = ("contents", "generation_config", "model", "system_instruction")
SYSTEM = "system_instruction"
# What is taken and has no effect, with the reason.
UNUSED_BODY: Mapping[str, str] = {
    "safety_settings": "whoever draws goes by their own rules",
    "tools": "no tools are called here",
    "tool_config": "no tools are called here",
    "labels": "nothing is billed by them",
    "service_tier": "there is one queue",
    "store": "pictures are kept by the server's own settings",
}
FOR_WORDS = frozenset(
    {
        "temperature", "top_p", "top_k", "max_output_tokens", "stop_sequences", "presence_penalty", "frequency_penalty",
        "response_logprobs", "logprobs", "response_mime_type", "response_schema", "response_json_schema",
        "thinking_config", "media_resolution", "speech_config", "audio_timestamp", "audio_transcription_config",
        "enable_enhanced_civic_answers", "routing_config", "model_selection_config",
    }
)  # fmt: skip
ABOUT_PEOPLE = frozenset({"person_generation", "prominent_people"})
NAMES: Mapping[str, str] = {  # our name of a field -> its place in the body
    "n": f"{CONFIG}.candidateCount",
    "num_images": f"{CONFIG}.candidateCount",
    "seed": f"{CONFIG}.seed",
    "aspect_ratio": f"{IMAGE_CONFIG}.aspectRatio",
    "image_size": f"{IMAGE_CONFIG}.imageSize",
    "resolution": f"{IMAGE_CONFIG}.imageSize",
    "output_compression": f"{IMAGE_CONFIG}.outputCompressionQuality",
    "image": "contents",
    "image_prompt": "contents",
    "messages": "contents",
    "modalities": f"{CONFIG}.responseModalities",
    "prompt": "contents",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a body asks for. ``given`` are the fields that say how to draw, flat; ``names`` are where the body has
    them, for errors. ``usual_n`` pictures are drawn when no number is given, or as many as the model can.
    ``modalities`` is what the reply may consist of (None: whatever fits), ``about_words`` the fields that say how words
    are made."""

    conversation: Conversation
    given: Mapping[str, Any]
    names: Mapping[str, str]
    warnings: tuple[Warning, ...] = ()
    usual_n: int = 1
    modalities: frozenset[str] | None = frozenset({"image"})
    about_words: Mapping[str, Any] = field(default_factory=dict)


def _known_format(value: str) -> str:
    if value.lower() not in FORMATS:
        raise ValueError(f"Allowed: {', '.join(FORMATS)}")
    return value.lower()


MimeType = Annotated[str, AfterValidator(_known_format)]


class ImageOutput(Fields):
    """How pictures are encoded."""

    mime_type: MimeType | None = None
    compression_quality: Whole | None = None

    def given(self) -> dict[str, Any]:
        """The same as flat fields."""
        return {**encoding(self.mime_type, self.compression_quality), **(self.model_extra or {})}


def encoding(mime_type: str | None, quality: int | None) -> dict[str, Any]:
    """How pictures are to be encoded, as flat fields."""
    return {"output_format": None if mime_type is None else FORMATS[mime_type], "output_compression": quality}


class ImageConfig(Fields):
    """``imageConfig``; what else it holds are the model's own parameters."""

    aspect_ratio: str | None = None
    image_size: str | None = None
    output_mime_type: MimeType | None = None
    output_compression_quality: Whole | None = None
    image_output_options: dict[str, Any] | None = None

    def output(self) -> dict[str, Any]:
        """How pictures are to be encoded, as flat fields; it may be said in two ways."""
        place = f"{IMAGE_CONFIG}.imageOutputOptions"
        return merged(
            (IMAGE_CONFIG, encoding(self.output_mime_type, self.output_compression_quality)),
            (place, read_fields(ImageOutput, self.image_output_options, place).given()),
        )


class GenerationConfig(Fields):
    """``generationConfig``; what else it holds are the model's own parameters."""

    candidate_count: Whole | None = Field(None, ge=1)
    seed: Whole | None = None
    response_modalities: list[str] | None = None
    image_config: dict[str, Any] | None = None

    @field_validator("response_modalities")
    @classmethod
    def _known_ones(cls, value: list[str]) -> list[str]:
        named = {modality.upper() for modality in value}
        if not named <= MODALITIES:
            raise ValueError("Allowed: ['IMAGE'], ['TEXT'] or ['TEXT', 'IMAGE']")
        return value


def read_generation(body: Mapping[str, Any], model: str) -> Asked:
    """A body that was sent to ``model``. Raises InvalidRequest and its kinds.

    Reads megabytes of text: not for the event loop.
    """
    fields = read_object(body, "", (*BODY, *UNUSED_BODY))
    _check_model(fields.get("model"), model)
    conversation, warnings = read_contents(fields.get("contents"))
    config = read_fields(GenerationConfig, fields.get("generation_config"), CONFIG)
    image = read_fields(ImageConfig, config.image_config, IMAGE_CONFIG)
    own = {CONFIG: own_params(config, FOR_WORDS), IMAGE_CONFIG: own_params(image, ABOUT_PEOPLE)}
    return Asked(
        conversation=conversation,
        given=merged(
            *own.items(),
            (CONFIG, {"n": config.candidate_count, "seed": config.seed}),
            (IMAGE_CONFIG, {"aspect_ratio": image.aspect_ratio, "image_size": image.image_size, **image.output()}),
        ),
        names={**NAMES, **{name: placed(where, name) for where, params in own.items() for name in params}},
        warnings=(*warnings, *_unused(fields, image)),
        modalities=frozenset(modality.lower() for modality in config.response_modalities or ()) or None,
        about_words=_about_words(fields, config),
    )


def read_counting(body: Mapping[str, Any], model: str) -> Asked:
    """A body of ``countTokens``: the same, or wrapped. Raises as `read_generation` does."""
    if not WRAPPED.intersection(body):
        return read_generation(body, model)
    wrapped = read_object(body, "", ("generate_content_request",)).get("generate_content_request", {})
    return read_generation(read_object(wrapped, "generateContentRequest", None), model)


def own_params(fields: Fields, unused: frozenset[str]) -> dict[str, Any]:
    """What ``fields`` holds beside its own fields and the ``unused`` ones: the model's parameters, for it to judge."""
    return {name: value for name, value in (fields.model_extra or {}).items() if name not in unused}


def _check_model(named: object, model: str) -> None:
    if named is not None and (not isinstance(named, str) or named.removeprefix("models/") != model):
        raise InvalidRequest(f"Invalid value for 'model': {shown(named)}. The path says {shown(model)}", param="model")


def unspoken(asked: Asked, used: Collection[str]) -> tuple[Warning, ...]:
    """The fields about words that have no effect: all but those that are ``used``."""
    unused = [name for name in asked.about_words if name not in used]
    spoken = without_effect("", [name for name in unused if name == SYSTEM], "the prompt is what the user said last")
    reason = "it is not known to what answers" if used else "it is about words, and the model draws"
    return (*spoken, *without_effect(CONFIG, sorted(name for name in unused if name != SYSTEM), reason))


def _about_words(fields: Mapping[str, Any], config: GenerationConfig) -> dict[str, Any]:
    given = {name: value for name, value in (config.model_extra or {}).items() if name in FOR_WORDS}
    instruction = read_instruction(fields.get(SYSTEM), placed("", SYSTEM))
    return {**given, **({SYSTEM: instruction} if instruction else {})}


def _unused(fields: Mapping[str, Any], image: ImageConfig) -> Iterator[Warning]:
    for name, reason in UNUSED_BODY.items():
        if fields.get(name) not in (None, [], {}):
            yield from without_effect("", [name], reason)
    people = image.model_extra or {}
    yield from without_effect(IMAGE_CONFIG, sorted(ABOUT_PEOPLE & set(people)), "whoever draws goes by their own rules")
