"""A1111's fields as parameters of whichever model is asked: steps, guidance, sampler, strength, adapters.

Owns which parameter a field becomes and what is done where the model lacks it or takes other values: the nearest value
with a warning, for A1111's clients send the same numbers to every model.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from limner.api.a1111.fields import DrawFields
from limner.api.a1111.samplers import DEFAULT, PARAM, chosen, is_kin
from limner.catalogue.spec import ModelSpec, ParamSpec
from limner.core import Lora, Operation, ParamValue, Size, Warning

CFG, SIDE_PX, STRENGTH = 7.0, 512, 0.75
# Each takes time in proportion to the prompt, which may be a megabyte: possessive, and begun once in a run of blanks.
_LORA = re.compile(r"(?<![ \t])[ \t]*+<lora:([^:<>]++)(?::([-+]?(?:\d++(?:\.\d++)?+|\.\d++)))?+[^<>]*+>")
_BRACKETED, _BREAK = re.compile(r"\(([^()]*+)\)"), re.compile(r"\bBREAK\b")
_WEIGHT = re.compile(r"\s*+(?:\d++(?:\.\d++)?+|\.\d++)\s*+")


@dataclass(slots=True)
class Settled:
    """The parameters as they are put together, and what there is to say about them."""

    spec: ModelSpec
    operation: Operation
    params: dict[str, ParamValue] = field(default_factory=dict)
    warnings: list[Warning] = field(default_factory=list)

    def param(self, name: str) -> ParamSpec | None:
        """The model's parameter of that name, if the operation has it."""
        found = self.spec.params.get(name)
        return found if found is not None and found.applies_to(self.operation) else None

    def usual(self, name: str, value: float) -> float | None:
        """A1111's default ``value`` for a model of its kind that takes it; None for all others."""
        param = self.param(name)
        takes = param is not None and param.forced is None and _within(param, value) == value
        return value if takes and is_kin(self.spec) else None

    def put_near(self, name: str, value: float | None, said: str) -> None:
        """Set a number, or the nearest that the model takes; ``said`` is what the client calls it."""
        param = self.param(name)
        if value is None:
            return
        if param is None:
            self.warnings.append(Warning(said, "ignored", f"{said!r} has no effect: {self.spec.id} has no such thing"))
            return
        near = _within(param, value)
        if near != value:
            told = f"{said!r} {value:g} became {near:g}: {self.spec.id} takes {_range(param)}"
            self.warnings.append(Warning(said, "adjusted", told))
        self.params[name] = near

    def ignore(self, said: str, why: str) -> None:
        """Say that something has no effect."""
        self.warnings.append(Warning(said, "ignored", f"{said!r} has no effect: {why}"))


def settle(fields: DrawFields, spec: ModelSpec, operation: Operation, steps: int) -> Settled:
    """The parameters that ``fields`` mean for the model. ``steps`` are those of a call that names none.

    What a client leaves out is A1111's default for models of its kind (`is_kin`), and the
    model's own for all others. Raises InvalidRequest for a sampler that is not known.
    """
    settled = Settled(spec, operation)
    guidance = _guidance(spec)
    asked_steps = settled.usual("num_inference_steps", steps) if fields.steps is None else fields.steps
    settled.put_near("num_inference_steps", asked_steps, "steps")
    asked_cfg = settled.usual(guidance, CFG) if fields.cfg_scale is None else fields.cfg_scale
    settled.put_near(guidance, asked_cfg, "cfg_scale")
    if operation is not Operation.GENERATE:
        strength = (
            settled.usual("strength", STRENGTH) if fields.denoising_strength is None else fields.denoising_strength
        )
        settled.put_near("strength", strength, "denoising_strength")
    _put_negative(settled, fields.negative_prompt)
    _put_sampler(settled, fields)
    return settled


def size_of(fields: DrawFields, spec: ModelSpec) -> Size | None:
    """The size that is asked for; a side that is left out is 512, and both are, for models of A1111's kind."""
    if fields.width is None and fields.height is None and not is_kin(spec):
        return None
    return Size(fields.width or SIDE_PX, fields.height or SIDE_PX)


def read_prompt(settled: Settled, fields: DrawFields) -> str:
    """The prompt without ``<lora:name:scale>``, which become adapters where the model takes some."""
    loras = tuple(Lora(name.strip(), float(scale or 1.0), name.strip()) for name, scale in _LORA.findall(fields.prompt))
    if loras and (settled.param("lora") is None or fields.disable_extra_networks):
        why = "extra networks are disabled" if fields.disable_extra_networks else f"{settled.spec.id} takes no adapters"
        settled.ignore("prompt", f"<lora:...> in it, as {why}")
    elif loras:
        settled.params["lora"] = loras
    if _has_weights(fields.prompt):
        settled.ignore("prompt", "A1111's notation for weights in it, which is read as plain words")
    return _LORA.sub("", fields.prompt).strip()


def _has_weights(prompt: str) -> bool:
    ends = (inner.rpartition(":") for inner in _BRACKETED.findall(prompt))
    return any(colon and _WEIGHT.fullmatch(end) for _, colon, end in ends) or _BREAK.search(prompt) is not None


def _guidance(spec: ModelSpec) -> str:
    """``true_cfg_scale`` where the model is guided by it unless told otherwise, else ``guidance_scale``."""
    true_cfg = spec.params.get("true_cfg_scale")
    if true_cfg is None or true_cfg.ignored:
        return "guidance_scale"
    on = isinstance(true_cfg.default, int | float) and true_cfg.default > 1
    return "true_cfg_scale" if on or "guidance_scale" not in spec.params else "guidance_scale"


def _put_negative(settled: Settled, text: str) -> None:
    if not text:
        return
    if settled.param("negative_prompt") is None:
        settled.ignore("negative_prompt", f"{settled.spec.id} has none")
    else:
        settled.params["negative_prompt"] = text


def _put_sampler(settled: Settled, fields: DrawFields) -> None:
    kin = is_kin(settled.spec)
    name = fields.sampler_name or fields.sampler_index or (DEFAULT if kin else "")
    if name.strip().casefold() == "automatic":
        name = DEFAULT if kin else ""
    sampler, warnings = chosen(name, fields.scheduler or "", settled.spec)
    settled.warnings += warnings
    if sampler is not None:
        settled.params[PARAM] = sampler


def _within(param: ParamSpec, value: float) -> float:
    low = value if param.minimum is None else max(value, param.minimum)
    near = low if param.maximum is None else min(low, param.maximum)
    return round(near) if param.type == "integer" else near


def _range(param: ParamSpec) -> str:
    bounds: Mapping[str, float | None] = {"at least": param.minimum, "at most": param.maximum}
    return " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)
