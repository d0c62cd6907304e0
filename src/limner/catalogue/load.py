"""Reading catalogue files: TOML text to specs, strictly.

Owns the merging: shared parameters, under the family's defaults, under the model's own keys. Whether the result makes
sense is `checks`. Every error names the file, the place and the key.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from pydantic import ValidationError

from limner.catalogue.checks import param_trouble, size_trouble, spec_trouble, text_trouble
from limner.catalogue.derived import PARAMS, with_derived
from limner.catalogue.entries import FileEntry, ModelEntry, ParamEntry
from limner.catalogue.fields import OPEN_SIZE
from limner.catalogue.labels import scaled
from limner.catalogue.spec import ModelSpec, ParamSpec, Route, SizeRules
from limner.core import Operation, Size

SHARED = "shared.toml"
"""The file of parameters that mean the same in every family; each of its tables is a parameter."""

MERGED = ("params", "sizes", "pipelines", "arguments")
"""Tables of a model that are laid over the family's key by key; every other key replaces the family's."""
FINELY_MERGED = "defaults"
"""A key of parameters that is laid over the others' value by value."""


class CatalogueError(Exception):
    """A catalogue file is wrong; the message names the file, the place and the key."""


@dataclass(frozen=True, slots=True)
class Known:
    """A model that the catalogue knows, with how sources are recognised as it."""

    spec: ModelSpec
    patterns: tuple[str, ...] = ()
    stands_for_classes: bool = False
    fallback: bool = False

    @property
    def classes(self) -> frozenset[str]:
        """The pipeline classes that run it."""
        return frozenset(name for route in self.spec.routes for name in route.pipelines.values())


@dataclass(frozen=True, slots=True)
class Virtual:
    """A name that means whichever model fits: the first of ``prefer`` that is served and can do what is asked.

    ``operation`` is what the name itself asks for, on whatever route it is used; None leaves it to the request.
    """

    id: str
    title: str
    prefer: tuple[str, ...]
    operation: Operation | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """What catalogue files hold."""

    known: tuple[Known, ...]
    virtual: tuple[Virtual, ...] = ()


def builtin_files() -> dict[str, str]:
    """The files that come with the package, by name."""
    folder = resources.files("limner.catalogue").joinpath("data")
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda item: item.name)
    return {item.name: item.read_text(encoding="utf-8") for item in files}


def read_files(files: Mapping[str, str]) -> Contents:
    """Everything in ``files`` (name to TOML text), in order. Raises CatalogueError."""
    tables = {name: _toml(name, text) for name, text in files.items()}
    shared = tables.pop(SHARED, {})
    entries = {name: _file(name, table) for name, table in tables.items()}
    known = (known for name, file in entries.items() for known in _models(name, file, shared))
    virtual = (Virtual(**dict(each)) for file in entries.values() for each in file.virtual)
    return Contents(tuple(known), tuple(virtual))


def _toml(name: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"{name}: not valid TOML: {error}") from error


def _file(name: str, table: dict[str, Any]) -> FileEntry:
    try:
        return FileEntry.model_validate(table)
    except ValidationError as error:
        raise _explain(name, error) from error


def _models(name: str, file: FileEntry, shared: dict[str, Any]) -> list[Known]:
    return [_read_model(f"{name}: models[{i}]", file, model, shared) for i, model in enumerate(file.models)]


def _read_model(where: str, file: FileEntry, model: dict[str, Any], shared: dict[str, Any]) -> Known:
    merged = _merge(where, file.defaults, model, shared)
    try:
        entry = ModelEntry.model_validate(merged)
    except ValidationError as error:
        raise _explain(where, error) from error
    spec = with_derived(_spec(file.family, entry), _shared_params(shared))
    known = Known(spec, entry.patterns, entry.stands_for_classes, entry.fallback)
    _check(f"{where} ({entry.id})", known)
    return known


def _shared_params(shared: Mapping[str, Any]) -> dict[str, ParamSpec]:
    """The parameters of derived operations, as the shared file has them."""
    try:
        return {name: ParamEntry.model_validate(shared[name]).spec(name) for name in PARAMS if name in shared}
    except ValidationError as error:
        raise _explain(SHARED, error) from error


def _check(where: str, known: Known) -> None:
    """What types alone cannot say. Raises CatalogueError."""
    spec = known.spec
    troubles = {"sizes": size_trouble(spec.sizes), "pipelines": None if known.fallback else spec_trouble(spec)}
    troubles["text_lengths"] = text_trouble(spec.routes[0])
    troubles |= {f"params.{param.name}": param_trouble(param, spec) for param in spec.params.values()}
    for place, trouble in troubles.items():
        if trouble:
            raise CatalogueError(f"{where}.{place}: {trouble}")


def _merge(
    where: str, family: Mapping[str, Any], model: Mapping[str, Any], shared: Mapping[str, Any]
) -> dict[str, Any]:
    merged: dict[str, Any] = {**family, **model}
    for key in MERGED:
        layers = [family.get(key, {}), model.get(key, {})]
        if key != "params":
            merged[key] = {**layers[0], **layers[1]}
            continue
        names = dict.fromkeys(name for layer in layers for name in layer)
        merged[key] = {name: _param([layer.get(name, {}) for layer in (shared, *layers)]) for name in names}
    for name in merged.get("without", ()):
        if merged["params"].pop(name, None) is None:
            raise CatalogueError(f"{where}.without: the family has no parameter {name!r}")
    return merged


def _param(layers: list[Mapping[str, Any]]) -> dict[str, Any]:
    """One parameter: each layer over those before it."""
    merged = {key: value for layer in layers for key, value in layer.items()}
    fine = {op: value for layer in layers for op, value in layer.get(FINELY_MERGED, {}).items()}
    return {**merged, FINELY_MERGED: fine} if fine else merged


def _spec(family: str, entry: ModelEntry) -> ModelSpec:
    params = {name: param.spec(name) for name, param in entry.params.items()}
    brought = sum(int(param.maximum or 1) for param in params.values() if param.type == "images")
    return ModelSpec(
        id=entry.id,
        family=family,
        title=entry.title,
        operations=frozenset(entry.operations),
        sizes=_sizes(entry.sizes.rules(), params),
        params=params,
        routes=_routes(entry),
        aliases=entry.aliases,
        max_images=entry.max_images or brought,
        max_n=entry.max_n,
        max_prompt_chars=entry.max_prompt_chars,
        licence=entry.licence,
        notes=entry.notes,
        created=entry.created,
        price_per_image=entry.price_per_image,
    )


def _routes(entry: ModelEntry) -> tuple[Route, ...]:
    """The model's own weights first, if it has any here, then who else can draw it."""
    others = tuple(Route(route.backend, route.source) for route in entry.routes)
    if others and not entry.pipelines:
        return others
    pipelines = {op: name for op, name in entry.pipelines.items() if op in entry.operations}
    lengths = tuple(sorted(entry.text_lengths))
    return (Route(entry.backend, entry.source or entry.id, pipelines, entry.arguments, lengths), *others)


def _sizes(rules: SizeRules, params: Mapping[str, ParamSpec]) -> SizeRules:
    """``rules``, limited to the sizes that the parameters name where these leave none open."""
    named = [size for param in params.values() if param.sizing for size in param.sizes.values()]
    free = None in named or any(param.sizing and param.type == "size" for param in params.values())
    if rules.choices or free:
        return rules
    factors = [factor for param in params.values() if param.sizing for factor in param.scales.values()] or [1.0]
    drawn = [scaled(size, factor) for size in named if size is not None for factor in factors]
    fields = [param for param in params.values() if param.field == "size" and param.type == "enum"]
    drawn += [Size.parse(choice) for param in fields for choice in param.choices if choice != OPEN_SIZE]
    return replace(rules, choices=tuple(dict.fromkeys(drawn)))


def _explain(where: str, error: ValidationError) -> CatalogueError:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    reason = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
    return CatalogueError(f"{where}.{place}: {reason}" if ": models[" in where else f"{where}: {place}: {reason}")
