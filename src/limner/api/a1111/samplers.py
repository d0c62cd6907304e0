"""A1111's names of samplers and schedules, and which of the catalogue's samplers they mean.

Owns those names alone: the catalogue says what a model can be sampled with, the engine does it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from limner.catalogue.spec import ModelSpec
from limner.catalogue.values import shown
from limner.core import Warning
from limner.errors import InvalidRequest

PARAM = "sampler"
DEFAULT = "Euler"
# Other names that clients send, from k-diffusion's.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "Euler": ("k_euler",),
    "Euler a": ("k_euler_a", "k_euler_ancestral"),
    "Heun": ("k_heun",),
    "DPM2": ("k_dpm_2",),
    "DPM2 a": ("k_dpm_2_a",),
    "DPM++ 2M": ("k_dpmpp_2m",),
    "DPM++ SDE": ("k_dpmpp_sde",),
    "DPM++ 2M SDE": ("k_dpmpp_2m_sde",),
    "DPM++ 2M SDE Heun": ("k_dpmpp_2m_sde_heun",),
    "DPM++ 3M SDE": ("k_dpmpp_3m_sde",),
    "DDIM": ("ddim",),
    "PLMS": ("plms",),
    "UniPC": ("unipc",),
    "LCM": ("k_lcm",),
}
# The schedule that "Automatic" means for a sampler; "" is its plain one.
AUTOMATIC: Mapping[str, str] = {
    "DPM2": "Karras",
    "DPM2 a": "Karras",
    "DPM++ 2M": "Karras",
    "DPM++ SDE": "Karras",
    "DPM++ 2M SDE": "Exponential",
    "DPM++ 2M SDE Heun": "Exponential",
    "DPM++ 3M SDE": "Exponential",
}
# What a client may call a schedule -> the word that ends a sampler's name; "" is the plain one.
SCHEDULES: Mapping[str, str] = {
    "uniform": "",
    "karras": "Karras",
    "exponential": "Exponential",
    "sgm_uniform": "SGM Uniform",
}
_RHO = {"karras": 7.0}
_UNSAID = ("", "automatic", "use same scheduler")


def choices_of(spec: ModelSpec) -> tuple[str, ...]:
    """The samplers that a model can be drawn with; none where it has only its own."""
    return spec.params[PARAM].choices if PARAM in spec.params else ()


def is_kin(spec: ModelSpec) -> bool:
    """Whether a model is of A1111's kind, for which its clients' usual numbers are meant: it has samplers to choose
    from, and none that is best for it."""
    return PARAM in spec.params and spec.params[PARAM].default is None


def chosen(name: str, schedule: str, spec: ModelSpec) -> tuple[str | None, tuple[Warning, ...]]:
    """The catalogue's sampler for A1111's ``name`` and ``schedule`` ("": whichever), None for the model's own.

    A schedule that the sampler does not have is told in a warning. Of a model that is not A1111's kind so is a sampler
    that it does not have; of one that is, such a sampler raises InvalidRequest.
    """
    choices = choices_of(spec)
    if not is_kin(spec):
        named = _named(choices).get(name.strip().casefold())
        return named, tuple(_own("" if named else name, schedule, spec))
    base, own_schedule = _taken_apart(name, choices)
    wanted = SCHEDULES.get(_key(schedule)) if _key(schedule) not in _UNSAID else own_schedule
    if wanted is None and _key(schedule) in _UNSAID:
        automatic = f"{base} {AUTOMATIC.get(base, '')}".rstrip()
        return automatic if automatic in choices else base, ()
    full = f"{base} {wanted or ''}".rstrip()
    if wanted is not None and full in choices:
        return full, ()
    message = f"{base} has no schedule {shown(schedule)} here: its plain one was used"
    return base, (Warning("scheduler", "adjusted", message),)


def listed(specs: Iterable[ModelSpec]) -> list[dict[str, Any]]:
    """The reply of ``/samplers``: what the models can be drawn with; the plain one where none has a choice."""
    known = dict.fromkeys(name for spec in specs for name in choices_of(spec))
    names = [name for name in known if name in ALIASES] or [DEFAULT]
    return [
        {
            "name": name,
            "aliases": list(ALIASES[name]),
            "options": {"scheduler": AUTOMATIC[name].lower()} if name in AUTOMATIC else {},
        }
        for name in names
    ]


def schedules() -> list[dict[str, Any]]:
    """The reply of ``/schedulers``."""
    labels = {"automatic": "Automatic", "uniform": "Uniform"} | {name: word for name, word in SCHEDULES.items() if word}
    return [
        {
            "name": name,
            "label": label,
            "aliases": None,
            "default_rho": _RHO.get(name, -1.0),
            "need_inner_model": False,
        }
        for name, label in labels.items()
    ]


def _key(schedule: str) -> str:
    return re.sub(r"[\s-]+", "_", schedule.strip().lower())


def _taken_apart(name: str, choices: tuple[str, ...]) -> tuple[str, str | None]:
    """The sampler and the schedule that ``name`` may end with: "DPM++ 2M Karras" was one name for long."""
    wanted, known = name.strip().casefold(), _named(choices)
    if wanted in known:
        return known[wanted], None
    for suffix, word in (("_ka", "Karras"), *((f" {word.casefold()}", word) for word in SCHEDULES.values() if word)):
        if wanted.removesuffix(suffix) in known and wanted.endswith(suffix):
            return known[wanted.removesuffix(suffix)], word
    raise InvalidRequest(
        f"Invalid value for 'sampler_name': {shown(name)}. Allowed: {', '.join(dict.fromkeys(known.values()))}",
        param="sampler_name",
    )


def _named(choices: tuple[str, ...]) -> dict[str, str]:
    """What A1111's clients may call the samplers among ``choices``, in small letters."""
    known = {base.casefold(): base for base in ALIASES if base in choices}
    return known | {alias: base for base, aliases in ALIASES.items() if base in choices for alias in aliases}


def _own(name: str, schedule: str, spec: ModelSpec) -> Iterable[Warning]:
    if name.strip().casefold() not in ("", "automatic", "euler", "k_euler"):
        own = " or ".join(choices_of(spec)) or "its own sampler"
        yield Warning("sampler_name", "ignored", f"{shown(name)} has no effect: {spec.id} has {own}")
    if _key(schedule) not in (*_UNSAID, "uniform", "normal", "simple"):
        yield Warning("scheduler", "ignored", f"{shown(schedule)} has no effect: {spec.id} has its own schedule")
