"""From what was asked to what will be done: the only place of defaults, bounds, inference and capability errors.

Owns the order of the checks and the checks of the request's own fields. Runs nothing and reads nothing.
"""

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

from limner.catalogue.derived import SIDES, basis
from limner.catalogue.describe import effective
from limner.catalogue.fields import MAX_SEED, RANDOM_SEEDS, with_fields, without_ignored_fields
from limner.catalogue.images import PLAIN, image_params, with_counts
from limner.catalogue.labels import labelled_size
from limner.catalogue.outputs import check_edges, check_output
from limner.catalogue.parameters import settle_params
from limner.catalogue.sizing import settle_size
from limner.catalogue.spec import LOCAL, ModelSpec
from limner.catalogue.values import checked, shown
from limner.config import Settings
from limner.core import Operation, ParamValue, Request, Warning
from limner.errors import InvalidRequest, MissingParameter

__all__ = ["Policy", "Resolution", "effective", "resolve"]

MAX_PREVIEWS = 3
PROMPTED = frozenset({Operation.GENERATE, Operation.EDIT, Operation.INPAINT, Operation.REGION_EDIT})
MASKABLE = frozenset({Operation.INPAINT})
PICTURELESS = frozenset({Operation.GENERATE, Operation.DESCRIBE})  # what can be asked without any picture
# ... and what is asked of several at once: of the first with the others for reference, or of all.
SEVERAL = frozenset({Operation.EDIT, Operation.INPAINT, Operation.REGION_EDIT, Operation.DESCRIBE})
UNSEEN = frozenset({Operation.OUTPAINT, Operation.REGION_EDIT})  # the model draws over the picture, as under a mask


@dataclass(frozen=True, slots=True)
class Policy:
    """The server's own bounds, beside the models'."""

    unknown_parameters: Literal["refuse", "warn"] = "refuse"
    max_timeout_s: float = 3600.0
    max_images: int = 16
    max_work: int = 16 * 1024 * 1024 * 200 * 10

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The policy that ``settings`` describe."""
        return cls(settings.unknown_parameters, settings.max_timeout_s, settings.max_images, settings.max_work)


@dataclass(frozen=True, slots=True)
class Resolution:
    """A request with nothing left to guess, the model's rules it was held against, and what was done otherwise."""

    request: Request
    spec: ModelSpec
    warnings: tuple[Warning, ...] = ()


def resolve(request: Request, spec: ModelSpec, policy: Policy) -> Resolution:
    """Check ``request`` against ``spec`` and ``policy`` and fill in what it leaves open.

    A resolved request resolves to itself. Raises InvalidRequest, MissingParameter or UnknownParameter.
    """
    _check_pictures(request, spec, policy)
    request, moved = with_fields(with_counts(request, spec), spec)
    check_output(request)
    _check_prompt(request, spec)
    request, ignored = without_ignored_fields(request, spec)
    _check_counts(request, spec, policy)
    seed = _settled_seed(request)
    params, param_warnings = settle_params(request, spec, policy.unknown_parameters)
    _check_sides(request, params)
    labelled, params, label_warnings = labelled_size(request, spec, params)
    request = replace(request, model=spec.id, prompt=_settled_prompt(request), seed=seed, params=params)
    size, size_warnings = settle_size(request, spec, labelled)
    resolved = replace(request, size=size)
    check_edges(resolved)
    _check_work(resolved, policy)
    warnings = (*moved, *ignored, *param_warnings, *label_warnings, *size_warnings, *_few_previews(resolved))
    return Resolution(resolved, spec, warnings)


def _check_pictures(request: Request, spec: ModelSpec, policy: Policy) -> None:
    count, limit = len(request.inputs), min(spec.max_images, policy.max_images)
    name = next((param.name for param in image_params(spec)), PLAIN)
    if count > limit:
        raise InvalidRequest(
            f"Invalid value for {name!r}: {count} pictures. Allowed for {spec.id}: at most {limit}", param=name
        )
    operation = request.operation
    if operation not in spec.operations:
        able = ", ".join(other.value for other in spec.sorted_operations)
        raise InvalidRequest(f"{spec.id} cannot {operation.value}. Allowed: {able}", param="operation")
    if operation is Operation.GENERATE and count:
        raise InvalidRequest(f"'generate' takes no input pictures, {count} given; ask for 'edit'", param=name)
    if count > 1 and operation not in PICTURELESS | SEVERAL:
        message = f"Invalid value for {name!r}: {count} pictures. Allowed: {operation.value} takes one"
        raise InvalidRequest(message, param=name)
    if operation not in PICTURELESS and not count:
        raise MissingParameter(f"Missing required parameter: {name!r} ({operation.value} needs one)", param=name)
    _check_mask(request)
    _check_pictures_read(request, spec)


def is_drawn_over(request: Request, spec: ModelSpec) -> bool:
    """Whether the first picture is drawn over at the size asked for, as under a mask: it may have any itself."""
    if request.mask is not None or request.operation in UNSEEN:
        return True
    draws_here = spec.loads is not None and spec.loads.backend == LOCAL
    return draws_here and basis(spec, request.operation) is Operation.INPAINT


def _check_pictures_read(request: Request, spec: ModelSpec) -> None:
    """Refuse what pipelines refuse late and without a name: pictures too small or too long to be looked at."""
    rules = spec.sizes
    for picture in request.inputs[1:] if is_drawn_over(request, spec) else request.inputs:
        short, long = sorted((picture.size.width_px, picture.size.height_px))
        if short < rules.min_input_px:
            raise InvalidRequest(
                f"Invalid value for 'image': {picture.size}. Allowed: sides from {rules.min_input_px} pixels",
                param="image",
            )
        if long > short * rules.max_input_ratio:
            raise InvalidRequest(
                f"Invalid value for 'image': {picture.size}. "
                f"Allowed: the longer side at most {rules.max_input_ratio:g} times the shorter",
                param="image",
            )


def _check_mask(request: Request) -> None:
    if request.mask is None:
        if request.operation is Operation.INPAINT:
            raise MissingParameter("Missing required parameter: 'mask' (inpaint needs one)", param="mask")
        return
    if request.operation not in MASKABLE:
        raise InvalidRequest(f"'{request.operation.value}' takes no mask; ask for 'inpaint'", param="mask")
    if request.mask.size != request.inputs[0].size:
        raise InvalidRequest(
            f"Invalid value for 'mask': it is {request.mask.size} and the first picture is {request.inputs[0].size}. "
            "Allowed: the same size",
            param="mask",
        )


def _check_prompt(request: Request, spec: ModelSpec) -> None:
    param = next((param for param in spec.params.values() if param.field == "prompt"), None)
    wordless = request.operation is Operation.DESCRIBE and not request.inputs
    needed = request.operation in PROMPTED or wordless or (param is not None and param.required)
    if needed and not request.prompt.strip():
        raise MissingParameter("Missing required parameter: 'prompt' (it is empty or blank)", param="prompt")
    if len(request.prompt) > spec.max_prompt_chars:
        raise InvalidRequest(
            f"Invalid value for 'prompt': {len(request.prompt):,} characters. "
            f"Allowed: at most {spec.max_prompt_chars:,}",
            param="prompt",
        )
    if param is not None:
        checked(param, request.prompt)


def _settled_prompt(request: Request) -> str:
    """The prompt, or the question that a picture itself asks."""
    if request.operation is not Operation.DESCRIBE or request.prompt.strip():
        return request.prompt
    return "What is in this picture?" if len(request.inputs) == 1 else "What is in these pictures?"


def _check_sides(request: Request, params: Mapping[str, ParamValue]) -> None:
    if request.operation is not Operation.OUTPAINT or any(params.get(side) for side in SIDES):
        return
    names = ", ".join(map(repr, SIDES[:-1])) + f" or {SIDES[-1]!r}"
    raise MissingParameter(f"Missing required parameter: {names} (outpaint adds pixels on a side)", param=SIDES[0])


def _check_counts(request: Request, spec: ModelSpec, policy: Policy) -> None:
    _check_integer("n", request.n, 1, spec.max_n)
    _check_integer("partial_images", request.previews, 0, MAX_PREVIEWS)
    timeout_s: object = request.timeout_s
    number = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
    if not number or not math.isfinite(request.timeout_s) or not 0 < request.timeout_s <= policy.max_timeout_s:
        raise InvalidRequest(
            f"Invalid value for 'timeout': {shown(timeout_s)}. "
            f"Allowed: more than 0 and at most {policy.max_timeout_s:g} seconds",
            param="timeout",
        )


def _settled_seed(request: Request) -> int:
    """The seed asked for, or a random one; ``n`` consecutive seeds must be valid."""
    if request.seed is None:
        return secrets.randbelow(RANDOM_SEEDS)
    _check_integer("seed", request.seed, 0, MAX_SEED - (request.n - 1))
    return request.seed


def _check_integer(name: str, value: object, lowest: int, highest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        message = f"Invalid value for {name!r}: {shown(value)}. Allowed: integer from {lowest} to {highest}"
        raise InvalidRequest(message, param=name)


def _few_previews(request: Request) -> tuple[Warning, ...]:
    """Partial pictures show the work between steps, so there is at most one less than there are steps."""
    steps, strength = request.params.get("num_inference_steps"), request.params.get("strength")
    if not isinstance(steps, int):
        return ()
    run = math.ceil(steps * strength - 1e-9) if isinstance(strength, float) else steps
    most = max(run - 1, 0)
    if request.previews <= most:
        return ()
    message = f"{request.previews} partial images were asked for; {run} steps give at most {most}"
    return (Warning("partial_images", "adjusted", message),)


def _check_work(request: Request, policy: Policy) -> None:
    """Refuse at the door what would occupy the device for hours."""
    assert request.size is not None, "sizes are settled before work is counted"
    steps = request.params.get("num_inference_steps")
    factor = steps if isinstance(steps, int) else 1
    work = request.size.pixels * request.n * factor
    if work > policy.max_work:
        raise InvalidRequest(
            f"Too much work for one request: {request.size} x n={request.n} x {factor} steps = {work:,}. "
            f"Allowed: at most {policy.max_work:,}; ask for fewer pictures, fewer steps or a smaller size",
            param="size",
        )
