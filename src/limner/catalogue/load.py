"""Reading catalogue files: TOML text to specs, strictly.

Owns the merging (shared parameters, under the family's defaults, under the model's own keys) and the checks that a
file's content makes sense. Every error names the file, the place and the key.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from pydantic import ValidationError

from limner.catalogue.entries import FileEntry, ModelEntry
from limner.catalogue.parameters import PRESENCE, condition_of
from limner.catalogue.sizing import CHOSEN_MULTIPLE, problem, snap
from limner.catalogue.spec import ModelSpec, ParamSpec, Route, SizeRules
from limner.catalogue.values import checked
from limner.errors import InvalidRequest

SHARED = "shared.toml"
"""The file of parameters that mean the same in every family; each of its tables is a parameter."""

MERGED = ("params", "sizes", "pipelines", "arguments")
"""Tables of a model that are laid over the family's key by key; every other key replaces the family's."""


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


def builtin_files() -> dict[str, str]:
    """The files that come with the package, by name."""
    folder = resources.files("limner.catalogue").joinpath("data")
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda item: item.name)
    return {item.name: item.read_text(encoding="utf-8") for item in files}


def read_files(files: Mapping[str, str]) -> tuple[Known, ...]:
    """Every model in ``files`` (name to TOML text), in order. Raises CatalogueError."""
    tables = {name: _toml(name, text) for name, text in files.items()}
    shared = tables.pop(SHARED, {})
    return tuple(known for name, table in tables.items() for known in _read_file(name, table, shared))


def _toml(name: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"{name}: not valid TOML: {error}") from error


def _read_file(name: str, table: dict[str, Any], shared: dict[str, Any]) -> list[Known]:
    try:
        file = FileEntry.model_validate(table)
    except ValidationError as error:
        raise _explain(name, error) from error
    return [_read_model(f"{name}: models[{i}]", file, model, shared) for i, model in enumerate(file.models)]


def _read_model(where: str, file: FileEntry, model: dict[str, Any], shared: dict[str, Any]) -> Known:
    merged = _merge(where, file.defaults, model, shared)
    try:
        entry = ModelEntry.model_validate(merged)
    except ValidationError as error:
        raise _explain(where, error) from error
    known = Known(_spec(file.family, entry), entry.patterns, entry.stands_for_classes, entry.fallback)
    _check(f"{where} ({entry.id})", known)
    return known


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
        merged[key] = {
            name: {**shared.get(name, {}), **layers[0].get(name, {}), **layers[1].get(name, {})} for name in names
        }
    for name in merged.get("without", ()):
        if merged["params"].pop(name, None) is None:
            raise CatalogueError(f"{where}.without: the family has no parameter {name!r}")
    return merged


def _spec(family: str, entry: ModelEntry) -> ModelSpec:
    pipelines = {op: name for op, name in entry.pipelines.items() if op in entry.operations}
    route = Route(entry.backend, entry.source or entry.id, pipelines, entry.arguments)
    return ModelSpec(
        id=entry.id,
        family=family,
        title=entry.title,
        operations=frozenset(entry.operations),
        sizes=entry.sizes.rules(),
        params={name: param.spec(name) for name, param in entry.params.items()},
        routes=(route,),
        aliases=entry.aliases,
        max_images=entry.max_images,
        max_n=entry.max_n,
        max_prompt_chars=entry.max_prompt_chars,
        licence=entry.licence,
        notes=entry.notes,
        created=entry.created,
        price_per_image=entry.price_per_image,
    )


def _check(where: str, known: Known) -> None:
    """What types alone cannot say. Raises CatalogueError."""
    spec = known.spec
    trouble = _size_trouble(spec.sizes)
    if trouble:
        raise CatalogueError(f"{where}.sizes: {trouble}")
    for param in spec.params.values():
        _check_param(f"{where}.params.{param.name}", param, spec)
    missing = [op.value for op in spec.sorted_operations if op not in spec.routes[0].pipelines]
    if spec.routes[0].backend == "local" and not known.fallback and (missing or not spec.operations):
        raise CatalogueError(f"{where}.pipelines: no class for {', '.join(missing) or 'any operation'}")


def _size_trouble(rules: SizeRules) -> str | None:
    lowest, highest = (-(-side // CHOSEN_MULTIPLE) * CHOSEN_MULTIPLE for side in (rules.min_side_px, rules.max_side_px))
    if problem(rules.default, rules) or snap(rules.default, rules) != rules.default:
        return f"the default {rules.default} breaks the rules"
    if rules.min_side_px % rules.multiple or rules.max_side_px % rules.multiple:
        return f"sides of {rules.min_side_px} and {rules.max_side_px} are not multiples of {rules.multiple}"
    if max(lowest * highest, rules.edit_pixels, rules.default.pixels) > rules.max_pixels:
        return f"max_pixels {rules.max_pixels} is less than an edge case, the default or edit_pixels needs"
    return None


def _check_param(where: str, param: ParamSpec, spec: ModelSpec) -> None:
    for value in (param.default, param.forced, *param.defaults.values()):
        try:
            if value is not None and checked(param, value) != value:
                raise CatalogueError(f"{where}: {value!r} is not of type {param.type}")
        except InvalidRequest as error:
            raise CatalogueError(f"{where}: {error}") from error
    if (param.type == "enum") != bool(param.choices):
        raise CatalogueError(f"{where}.choices: an enum needs choices, other types take none")
    _check_ignored_when(where, param, spec)


def _check_ignored_when(where: str, param: ParamSpec, spec: ModelSpec) -> None:
    condition = condition_of(param.ignored_when or "")
    if condition is not None:
        other = spec.params.get(condition[0])
        if other is None or other.type not in ("integer", "number"):
            raise CatalogueError(f"{where}.ignored_when: the model has no number {condition[0]!r}")
        return
    other = spec.params.get(param.ignored_when or "")
    if param.ignored_when and param.ignored_when not in PRESENCE and (other is None or other.default is not None):
        allowed = f"{', '.join(PRESENCE)}, a parameter without default or 'NAME <= NUMBER'"
        raise CatalogueError(f"{where}.ignored_when: {param.ignored_when!r}; allowed: {allowed}")


def _explain(where: str, error: ValidationError) -> CatalogueError:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    reason = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
    return CatalogueError(f"{where}.{place}: {reason}" if ": models[" in where else f"{where}: {place}: {reason}")
