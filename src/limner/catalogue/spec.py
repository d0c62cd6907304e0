"""What the catalogue says about a model: immutable values read from data files.

Owns the shapes only; reading the files is `load`, applying the rules is `resolve`.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from limner.core import Operation, ParamValue, Size

LOCAL = "local"  # a route's backend: this machine draws, with a diffusers pipeline
SPEAKER = "speaker"  # ... this machine answers in words, with a language model that may see
CUTTER = "cutter"  # ... this machine tells a picture's subject from its background
ENLARGER = "enlarger"  # ... this machine makes a picture larger
ON_MACHINE = frozenset({LOCAL, SPEAKER, CUTTER, ENLARGER})
BORROWED = "served"  # a route's backend: another model of this catalogue draws, where that one is served
TEXT_LENGTH = "max_sequence_length"  # the pipeline argument that says how many tokens of text are read and padded to
ParamType = Literal["integer", "number", "string", "boolean", "enum", "loras", "size", "images", "mask"]
RequestField = Literal["prompt", "n", "seed", "size", "width", "height", "output_format", "mask"]
# Parameters of these names are the request's fields without saying so.
NAMESAKES: Mapping[str, RequestField] = {"n": "n", "seed": "seed", "size": "size"}


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
    the default.

    ``field`` makes the parameter another name for a field of the request: its value becomes the field's, and what
    the table says of it holds for the field. NAMESAKES have theirs without being told. ``sizes`` maps its values to
    sizes (None leaves the size open), ``scales`` to factors of the sides. Parameters of type "images" count the
    input pictures that they bring, "mask" is the request's mask. ``labels`` are other words for choices, for
    people. ``excludes`` are regular expressions that a text must not match, by what they find. ``cost_factors``
    multiply the price of a picture.
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
    defaults: Mapping[Operation, ParamValue] = dataclasses.field(default_factory=dict)
    encoded: bool = False
    caution: str | None = None
    field: RequestField | None = None
    sizes: Mapping[str, Size | None] = dataclasses.field(default_factory=dict)
    scales: Mapping[str, float] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    excludes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cost_factors: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.field and self.name in NAMESAKES:
            object.__setattr__(self, "field", NAMESAKES[self.name])

    @property
    def sizing(self) -> bool:
        """Whether it says something about the size of what is drawn, beside the request's own field."""
        return self.field is None and (self.type == "size" or bool(self.sizes or self.scales))

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
    the first input's aspect ratio. ``min_side_px`` and ``max_side_px`` are multiples too. ``native``, if
    given, is the one size that the model draws well: all is drawn at it, input pictures are laid into it, and what
    comes out is brought to the size asked for. ``min_input_px`` is the shortest side of a picture that the model looks
    at, ``max_input_ratio`` its longest side over its shortest."""

    default: Size
    multiple: int
    min_side_px: int
    max_side_px: int
    max_pixels: int
    choices: tuple[Size, ...] = ()
    edit_pixels: int = 1024 * 1024
    native: Size | None = None
    min_input_px: int = 1
    max_input_ratio: float = math.inf


@dataclass(frozen=True, slots=True)
class Route:
    """One way to run a model: a backend's name and what that backend calls the model. "local" loads its weights,
    BORROWED lets another model of the catalogue draw.

    ``pipelines`` maps an operation to a diffusers pipeline class name; ``arguments`` are pipeline arguments that are
    always passed. ``text_lengths`` are values of ``max_sequence_length`` below the one in ``arguments`` that the model
    was trained with, too: the least that reads all the words is passed instead, for less to compute.
    """

    backend: str
    source: str
    pipelines: Mapping[Operation, str] = dataclasses.field(default_factory=dict)
    arguments: Mapping[str, object] = dataclasses.field(default_factory=dict)
    text_lengths: tuple[int, ...] = ()


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
    def loads(self) -> Route | None:
        """The route by which it is loaded on this machine; None for what only others can draw."""
        return next((route for route in self.routes if route.backend in ON_MACHINE), None)

    @property
    def is_complete(self) -> bool:
        """Whether the table has everything that the model takes: one that has the prompt itself leaves nothing out."""
        return any(param.field == "prompt" for param in self.params.values())

    @property
    def sorted_operations(self) -> tuple[Operation, ...]:
        """The operations in the order in which ``Operation`` declares them."""
        return tuple(operation for operation in Operation if operation in self.operations)
