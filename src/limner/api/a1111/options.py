"""A1111's options: the model that is drawn with when none is named, and how replies look. Each API key has its own.

Owns their names, their neutral values and what is remembered of them: in memory, until the server ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from limner.catalogue.values import SHOWN_CHARS, shown
from limner.core import ImageFormat, Output, Warning
from limner.errors import InvalidRequest
from limner.roster import Roster, ServedModel

MAX_KEYS = 10_000
FORMATS: Mapping[str, ImageFormat] = {"png": "png", "jpg": "jpeg", "jpeg": "jpeg", "webp": "webp"}
# Options that are shown because clients look for them, with the values that ask for nothing.
NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "sd_vae": ("Automatic", "None", "", None),
    "CLIP_stop_at_last_layers": (1, 0, None),
    "sd_checkpoint_hash": ("", None),
    "return_grid": (False, None),
    "grid_save": (False, None),
    "samples_save": (True, False, None),
    "enable_pnginfo": (True, None),
    "eta_noise_seed_delta": (0, None),
    "img2img_fix_steps": (False, None),
    "upscaler_for_img2img": (None, "", "None"),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What can be set. ``checkpoint`` "" is the server's default model."""

    checkpoint: str = ""
    samples_format: ImageFormat = "png"
    jpeg_quality: int = 80
    live_previews: bool = True

    @property
    def output(self) -> Output:
        """How pictures are encoded."""
        return Output(self.samples_format, None if self.samples_format == "png" else self.jpeg_quality)


class OptionBook:
    """Every key's options."""

    def __init__(self) -> None:
        self._by_key: dict[str, Options] = {}

    def of(self, key_id: str) -> Options:
        """The key's options."""
        return self._by_key.get(key_id, Options())

    def keep(self, key_id: str, options: Options) -> None:
        """Set them; the oldest of very many keys makes room."""
        self._by_key.pop(key_id, None)
        self._by_key[key_id] = options
        while len(self._by_key) > MAX_KEYS:
            self._by_key.pop(next(iter(self._by_key)))


def changed(options: Options, given: Mapping[str, Any], roster: Roster) -> tuple[Options, tuple[Warning, ...]]:
    """``options`` with what ``given`` says, and a warning for each that cannot be set here.

    Raises ModelNotFound, and InvalidRequest for a value of the wrong kind.
    """
    warnings = []
    for name, value in given.items():
        match name:
            case "sd_model_checkpoint":
                if value not in (None, ""):
                    options = replace(options, checkpoint=checkpoint(value, roster).spec.id)
            case "samples_format":
                options = replace(options, samples_format=_format(value))
            case "jpeg_quality":
                options = replace(options, jpeg_quality=_quality(value))
            case "live_previews_enable":
                options = replace(options, live_previews=_switch(value, name))
            case _ if name not in NEUTRAL or value not in NEUTRAL[name]:
                told = f"option {shown(name)} has no effect: it cannot be set here"
                warnings.append(Warning(name[:SHOWN_CHARS], "ignored", told))
    return options, tuple(warnings)


def shown_options(options: Options, default: str) -> dict[str, Any]:
    """The reply of ``GET /options``; ``default`` is the model where none was set."""
    return {
        "sd_model_checkpoint": options.checkpoint or default,
        "samples_format": options.samples_format,
        "jpeg_quality": options.jpeg_quality,
        "live_previews_enable": options.live_previews,
        **{name: values[0] for name, values in NEUTRAL.items()},
    }


def checkpoint(name: object, roster: Roster) -> ServedModel:
    """The model that a checkpoint's title means: its id or alias, also with a file's ending or a hash behind it.

    Raises ModelNotFound.
    """
    if not isinstance(name, str):
        raise InvalidRequest(f"a checkpoint is named by its title, not {shown(name)}", param="sd_model_checkpoint")
    plain = name.partition(" [")[0].strip()
    for known in (plain, plain.removesuffix(".safetensors").removesuffix(".ckpt")):
        if known and roster.serves(known):
            return roster.find(known)
    return roster.find(plain or name)


def _format(value: object) -> ImageFormat:
    found = FORMATS.get(value.lower()) if isinstance(value, str) else None
    if found is None:
        raise InvalidRequest(
            f"Invalid value for 'samples_format': {shown(value)}. Allowed: {', '.join(FORMATS)}", param="samples_format"
        )
    return found


def _switch(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(f"Invalid value for {name!r}: {shown(value)}. Allowed: true, false", param=name)
    return value


def _quality(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 100:
        raise InvalidRequest(
            f"Invalid value for 'jpeg_quality': {shown(value)}. Allowed: 1 to 100", param="jpeg_quality"
        )
    return round(value)
