"""What the catalogue says about a model: immutable values read from data files.

Owns the shapes only; reading the files is `load`, applying the rules is `resolve`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from limner.core import Operation, ParamValue, Size

ParamType = Literal["integer", "number", "string", "boolean", "enum", "loras"]


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """One parameter of one model.

    ``minimum`` and ``maximum`` are inclusive; for strings they bound the length. ``forced`` is the value that is used
    whatever was asked; ``ignored`` says why the parameter is taken and has no effect; both answer with a warning.
    ``ignored_when`` names a request field or parameter whose presence makes this one ineffective, or says below which
    value another one does: ``"guidance_scale <= 1"``. ``operations`` limits the parameter to those operations (empty =
    all), ``defaults`` holds defaults that differ by operation.
    ``argument`` is the pipeline argument it becomes; ``encoded`` means that the argument takes the text's embedding,
    made by the pipeline's own text encoder. ``caution`` is what a caller is told who sets it to another value than
    the default. A parameter named ``n``, ``size`` or ``seed`` adds ``ignored`` or ``ignored_when`` to that field of the
    request.
    """

    name: str
    type: ParamType
    description: str
    default: ParamValue = None
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    required: bool = False
    forced: ParamValue = None
    ignored: str | None = None
    ignored_when: str | None = None
    operations: frozenset[Operation] = frozenset()
    argument: str | None = None
    defaults: Mapping[Operation, ParamValue] = field(default_factory=dict)
    encoded: bool = False
    caution: str | None = None

    def applies_to(self, operation: Operation) -> bool:
        """Whether the parameter exists for ``operation``."""
        return not self.operations or operation in self.operations

    def default_for(self, operation: Operation) -> ParamValue:
        """The value that ``operation`` uses when none is given; None leaves it to the pipeline."""
        return self.defaults.get(operation, self.default)


@dataclass(frozen=True, slots=True)
class SizeRules:
    """Which sizes a model draws. Sides are multiples of ``multiple``; sizes asked for are snapped to it with a
    warning. ``choices`` non-empty means only those. ``edit_pixels`` is the area that an edit without a size gets, at
    the first input's aspect ratio. ``min_side_px`` and ``max_side_px`` are multiples too. ``caution`` is told when a
    size other than the default is asked for. ``min_input_px`` is the
    shortest side of a picture that the model looks at, ``max_input_ratio`` its longest side over its shortest."""

    default: Size
    multiple: int
    min_side_px: int
    max_side_px: int
    max_pixels: int
    choices: tuple[Size, ...] = ()
    edit_pixels: int = 1024 * 1024
    min_input_px: int = 1
    caution: str | None = None
    max_input_ratio: float = math.inf


@dataclass(frozen=True, slots=True)
class Route:
    """One way to run a model: a backend's name and what that backend calls the model.

    ``pipelines`` maps an operation to a diffusers pipeline class name; ``arguments`` are pipeline arguments that are
    always passed.
    """

    backend: str
    source: str
    pipelines: Mapping[Operation, str] = field(default_factory=dict)
    arguments: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything the server knows about a model before it runs it.

    ``max_images`` counts input pictures; ``created`` is the release of the weights in epoch seconds, 0 if unknown.
    ``price_per_image`` is in credits; None charges device time.
    """

    id: str
    family: str
    title: str
    operations: frozenset[Operation]
    sizes: SizeRules
    params: Mapping[str, ParamSpec]
    routes: tuple[Route, ...]
    aliases: tuple[str, ...] = ()
    max_images: int = 0
    max_n: int = 10
    max_prompt_chars: int = 32_000
    licence: str | None = None
    notes: tuple[str, ...] = ()
    created: int = 0
    price_per_image: float | None = None

    @property
    def sorted_operations(self) -> tuple[Operation, ...]:
        """The operations in the order in which ``Operation`` declares them."""
        return tuple(operation for operation in Operation if operation in self.operations)
