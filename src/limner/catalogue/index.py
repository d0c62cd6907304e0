"""Finding a model: by name for requests, by source for ``limner serve``.

Owns lookup and recognition. Nothing here knows a model; names, patterns and classes all come from the data.
"""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from limner.catalogue.load import CatalogueError, Contents, Known, Virtual, builtin_files, read_files
from limner.catalogue.spec import BORROWED, ModelSpec
from limner.core import Operation, Warning
from limner.errors import ModelNotFound

WEIGHT_SUFFIXES = (".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin")
CLASS_WORDS = (("inpaint", Operation.INPAINT), ("img2img", Operation.EDIT), ("edit", Operation.EDIT))
"""How diffusers names what a class does; a class without any of these words draws from text."""


@dataclass(frozen=True, slots=True)
class SourceMatch:
    """What the catalogue makes of a source, and what the operator should know about it."""

    spec: ModelSpec
    warnings: tuple[Warning, ...] = ()


class Catalogue:
    """Every known model. Immutable."""

    def __init__(self, contents: Contents) -> None:
        """Raises CatalogueError when two models share a name or a class, when there is not one fallback, or when a
        route or a virtual name means a model that is not there."""
        everything = contents.known
        fallbacks = [item for item in everything if item.fallback]
        if len(fallbacks) != 1:
            raise CatalogueError(f"exactly one model must be the fallback, not {len(fallbacks)}")
        self._fallback = fallbacks[0]
        self._known = tuple(item for item in everything if not item.fallback)
        self._by_name = _unique((name, item) for item in self._known for name in _names(item.spec))
        self._by_class = _unique((cls, i) for i in self._known if i.stands_for_classes for cls in sorted(i.classes))
        self._virtual = {each.id.casefold(): each for each in contents.virtual}
        self._check_names()

    @classmethod
    def builtin(cls) -> Self:
        """The catalogue that comes with the package."""
        return cls(read_files(builtin_files()))

    @classmethod
    def of_files(cls, files: Mapping[str, str]) -> Self:
        """The built-in catalogue with ``files`` (name to TOML text) added; a file of the same name replaces."""
        return cls(read_files({**builtin_files(), **files}))

    def models(self) -> tuple[ModelSpec, ...]:
        """Every known model, in the order of the files."""
        return tuple(item.spec for item in self._known)

    def _check_names(self) -> None:
        borrowed = ((item.spec.id, r.source) for item in self._known for r in item.spec.routes if r.backend == BORROWED)
        preferred = ((each.id, name) for each in self._virtual.values() for name in each.prefer)
        for owner, name in (*borrowed, *preferred):
            item = self._by_name.get(name.casefold())
            if item is None or item.spec.id != name:
                raise CatalogueError(f"{owner} names {name!r}, which is no model's id")
        for name in self._virtual:
            if name in self._by_name:
                raise CatalogueError(f"the virtual name {name!r} is a model's")

    def virtual(self) -> tuple[Virtual, ...]:
        """The names that mean whichever model fits."""
        return tuple(self._virtual.values())

    def preferences(self, name: str) -> tuple[str, ...] | None:
        """The ids that a virtual name prefers, best first; None where ``name`` is no virtual one."""
        virtual = self._virtual.get(name.casefold())
        return None if virtual is None else virtual.prefer

    def operation_of(self, name: str) -> Operation | None:
        """What a virtual name itself asks for; None where that is left to the request."""
        virtual = self._virtual.get(name.casefold())
        return None if virtual is None else virtual.operation

    def known(self, name: str) -> ModelSpec | None:
        """The model of this id or alias, if there is one; case does not matter."""
        item = self._by_name.get(name.casefold())
        return None if item is None else item.spec

    def get(self, name: str) -> ModelSpec:
        """The model of this id or alias; case does not matter. Raises ModelNotFound."""
        spec = self.known(name)
        if spec is None:
            raise ModelNotFound(f"model {name!r} is not in the catalogue", param="model")
        return spec

    def spec_for_source(self, source: str, pipeline_class: str | None = None) -> SourceMatch:
        """What to serve ``source`` as: a known id or alias, a Hugging Face id, a directory or a single file.

        Tried in this order: the name itself, its last part against the known names and patterns (unless
        ``pipeline_class`` contradicts), the class, and last a general entry with a warning. Never refuses; a name
        may be that of a model without weights to load (``spec.loads`` is None).
        """
        local = _is_local(source)
        item = self._by_name.get(source.casefold())
        if item is not None and not (local and item.spec.loads is None):
            return SourceMatch(_from_source(item.spec, source) if local else item.spec)
        item = self._recognised(_last_part(source), pipeline_class)
        if item is not None:
            return SourceMatch(_renamed(item.spec, source, local=local, same=self._is_copy(item, source)))
        item = self._by_class.get((pipeline_class or "").casefold())
        if item is not None:
            return SourceMatch(_renamed(item.spec, source, local=local, same=False))
        return self._general(source, pipeline_class, local=local)

    def _is_copy(self, item: Known, source: str) -> bool:
        """Whether the source's last part is exactly the model's own, as in a downloaded directory."""
        return _plain(_last_part(source)) in {_plain(_last_part(name)) for name in _names(item.spec)}

    def _recognised(self, name: str, pipeline_class: str | None) -> Known | None:
        """The model whose longest pattern fits ``name``; a longer pattern is a more specific one."""
        plain = _plain(name)
        fits = (
            (len(pattern), item)
            for item in self._known
            if item.spec.loads is not None
            if pipeline_class is None or pipeline_class in item.classes
            for pattern in (*item.patterns, _last_part(item.spec.id))
            if fnmatch.fnmatchcase(plain, _plain(pattern))
        )
        return max(fits, key=lambda fit: fit[0], default=(0, None))[1]

    def _general(self, source: str, pipeline_class: str | None, *, local: bool) -> SourceMatch:
        operation = _operation_of(pipeline_class)
        pipelines = {} if pipeline_class is None else {operation: pipeline_class}
        spec = _renamed(self._fallback.spec, source, local=local, same=False)
        route = replace(spec.routes[0], pipelines=pipelines)
        images = 0 if operation is Operation.GENERATE else 1
        what = f"pipeline class {pipeline_class}" if pipeline_class else "pipeline class not known yet"
        message = f"{source} is not in the catalogue ({what}): it gets general defaults, which may not suit it"
        spec = replace(spec, operations=frozenset({operation}), max_images=images, routes=(route,))
        return SourceMatch(spec, (Warning("model", "unverified", message),))


def _names(spec: ModelSpec) -> tuple[str, ...]:
    return (spec.id, *spec.aliases)


def _unique(pairs: Iterable[tuple[str, Known]]) -> dict[str, Known]:
    found: dict[str, Known] = {}
    for name, item in pairs:
        first = found.setdefault(name.casefold(), item)
        if first is not item:
            raise CatalogueError(f"{name!r} belongs to both {first.spec.id} and {item.spec.id}")
    return found


def _is_local(source: str) -> bool:
    """Whether ``source`` is a path: what exists here wins over a Hugging Face id of the same spelling."""
    return source.startswith(("/", ".", "~")) or source.lower().endswith(WEIGHT_SUFFIXES) or Path(source).exists()


def _last_part(source: str) -> str:
    last = re.split(r"[/\\]", source.rstrip("/\\"))[-1]
    for suffix in WEIGHT_SUFFIXES:
        if last.lower().endswith(suffix):
            return last[: -len(suffix)]
    return last


def _plain(name: str) -> str:
    """Spellings of one name made equal: case, and which of ``- _ . space`` separates."""
    return re.sub(r"[-_. ]+", "-", name.casefold())


def _operation_of(pipeline_class: str | None) -> Operation:
    lowered = (pipeline_class or "").casefold()
    return next((operation for word, operation in CLASS_WORDS if word in lowered), Operation.GENERATE)


def _from_source(spec: ModelSpec, source: str) -> ModelSpec:
    first, *rest = spec.routes
    return replace(spec, routes=(replace(first, source=source), *rest))


def _renamed(spec: ModelSpec, source: str, *, local: bool, same: bool) -> ModelSpec:
    """``spec`` under the source's own name. A copy of the same weights also answers to the model's names and keeps
    its licence; of others nothing but the parameters and sizes is known."""
    name = (_last_part(source) if local else source) or "model"
    short = () if local or _last_part(source) == name else (_last_part(source),)
    aliases = tuple(dict.fromkeys([*short, *(_names(spec) if same else ())]))
    renamed = replace(_from_source(spec, source), id=name, aliases=tuple(a for a in aliases if a != name))
    return renamed if same else replace(renamed, title=_last_part(source) or name, licence=None, notes=(), created=0)
