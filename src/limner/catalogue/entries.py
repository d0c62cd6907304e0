"""The shape of a catalogue file: its keys, their types and what they may hold.

Owns validation of one file's content; merging files and building specs is `load`.
"""

import math
from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from limner.catalogue.spec import LOCAL, ParamSpec, ParamType, RequestField, SizeRules
from limner.core import Operation, Size

Scalar = bool | int | float | str


def _size(value: object) -> object:
    return Size.parse(value) if isinstance(value, str) and value != "auto" else value


SizeText = Annotated[Size, BeforeValidator(_size), PlainSerializer(str)]


class Entry(BaseModel):
    """Base of everything in a file: keys that are not known are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ParamEntry(Entry):
    """One parameter; see `ParamSpec` for what the keys mean. ``argument`` false: the pipeline never gets it."""

    type: ParamType
    description: str
    default: Scalar | None = None
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = Field(None, gt=0)
    choices: tuple[str, ...] = ()
    required: bool = False
    forced: Scalar | None = None
    ignored: str | None = None
    ignored_when: str | None = None
    operations: frozenset[Operation] = frozenset()
    argument: str | bool = True
    defaults: dict[Operation, Scalar] = {}
    encoded: bool = False
    caution: str | None = None
    field: RequestField | None = None
    sizes: dict[str, SizeText | Literal["auto"]] = {}
    scales: dict[str, Annotated[float, Field(gt=0, le=16)]] = {}
    labels: dict[str, str] = {}
    excludes: dict[str, str] = {}
    cost_factors: dict[str, Annotated[float, Field(gt=0)]] = {}

    def spec(self, name: str) -> ParamSpec:
        """As the immutable value the rest of the server sees; an argument has the parameter's name by default."""
        named = name if self.argument is True else self.argument or None
        argument = None if self.ignored else named
        fields = {key: getattr(self, key) for key in type(self).model_fields if key != "argument"}
        fields["sizes"] = {label: None if size == "auto" else size for label, size in self.sizes.items()}
        if self.type == "enum" and not self.choices:  # whatever has a meaning is a choice
            fields["choices"] = tuple(self.sizes or self.scales or self.labels)
        if self.forced is not None:
            fields["default"] = self.forced
        return ParamSpec(name=name, argument=argument, **fields)


class SizeEntry(Entry):
    """Which sizes are drawn; see `SizeRules`."""

    default: SizeText
    multiple: int = Field(ge=1)
    min_side_px: int = Field(ge=1)
    max_side_px: int = Field(ge=1)
    max_pixels: int = Field(ge=1)
    choices: tuple[SizeText, ...] = ()
    edit_pixels: int = Field(1024 * 1024, ge=1)
    native: SizeText | None = None
    min_input_px: int = Field(1, ge=1)
    max_input_ratio: float = Field(math.inf, ge=1)

    def rules(self) -> SizeRules:
        """As the immutable value the rest of the server sees."""
        return SizeRules(**{name: getattr(self, name) for name in type(self).model_fields})


class RouteEntry(Entry):
    """A way to run the model other than on this machine; see `Route`."""

    backend: str
    source: str


class ModelEntry(Entry):
    """One model after the family's defaults have been laid under it.

    ``patterns`` are shell patterns of file and directory names that mean this model; ``stands_for_classes`` makes it
    the model of any other checkpoint whose pipeline class is among its ``pipelines``; ``fallback`` marks the one entry
    that is used when nothing is known; ``without`` takes away parameters that the family has.
    """

    id: str
    title: str
    source: str | None = None
    backend: str = LOCAL
    routes: tuple[RouteEntry, ...] = ()
    aliases: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    stands_for_classes: bool = False
    fallback: bool = False
    operations: tuple[Operation, ...] = ()
    pipelines: dict[Operation, str] = {}
    arguments: dict[str, Scalar | list[Scalar]] = {}
    text_lengths: tuple[Annotated[int, Field(ge=1)], ...] = ()
    sizes: SizeEntry
    params: dict[str, ParamEntry]
    without: tuple[str, ...] = ()
    max_images: int = Field(0, ge=0)
    max_n: int = Field(10, ge=1)
    max_prompt_chars: int = Field(32_000, ge=1)
    licence: str | None = None
    released: date | None = None
    notes: tuple[str, ...] = ()
    price_per_image: float | None = Field(None, ge=0, le=1_000_000, allow_inf_nan=False)

    @property
    def created(self) -> int:
        """The release as epoch seconds, 0 if unknown."""
        if self.released is None:
            return 0
        return int(datetime(self.released.year, self.released.month, self.released.day, tzinfo=UTC).timestamp())


class VirtualEntry(Entry):
    """A name that means whichever model fits: the first of ``prefer`` that is served and can do what is asked.

    ``operation`` is what the name itself asks for.
    """

    id: str
    title: str
    prefer: tuple[str, ...] = ()
    operation: Operation | None = None


class FileEntry(Entry):
    """One file before merging: a family's name, defaults for its models, and the models; or virtual names alone."""

    family: str
    defaults: dict[str, object] = {}
    models: list[dict[str, object]] = []
    virtual: list[VirtualEntry] = []
