"""Pipeline classes by name and by operation, and siblings: other classes over the same modules.

Owns class look-up; knows nothing about running them. Siblings are built from components, because diffusers' own
`from_pipe` casts shared weights and shares the scheduler.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from limner.core import Operation
from limner.errors import InvalidRequest

# Classes that edit without saying so in their name.
_EDITORS = frozenset({"Flux2Pipeline", "Flux2KleinPipeline", "FluxKontextPipeline"})
_WORDS: Mapping[Operation, str] = {Operation.EDIT: "Img2Img", Operation.INPAINT: "Inpaint"}


def pipeline_class(name: str) -> Any:
    """The diffusers pipeline class of that name; raises InvalidRequest if there is none."""
    import diffusers

    found = getattr(diffusers, name, None)
    if not (isinstance(found, type) and issubclass(found, diffusers.DiffusionPipeline)):
        raise InvalidRequest(f"{name!r} is not a pipeline class of diffusers {diffusers.__version__}", param="pipeline")
    if "PAG" in name:
        raise InvalidRequest(f"{name} changes shared modules while it runs, so it cannot be served", param="pipeline")
    return found


def operations_of(class_name: str) -> dict[Operation, str]:
    """Which pipeline class does each operation for a checkpoint that names ``class_name``.

    By diffusers' naming: ``XPipeline`` has ``XImg2ImgPipeline`` and ``XInpaintPipeline`` over the same modules.
    """
    import diffusers

    stem = class_name.removesuffix("Pipeline")
    for word in _WORDS.values():
        stem = stem.removesuffix(word)
    by_operation = {operation: f"{stem}{word}Pipeline" for operation, word in _WORDS.items()}
    by_operation = {operation: name for operation, name in by_operation.items() if name in dir(diffusers)}
    base = f"{stem}Pipeline"
    if "Fill" in stem:
        return {Operation.INPAINT: base}
    if "Edit" in stem:
        return {**by_operation, Operation.EDIT: base}
    if base in _EDITORS:
        by_operation[Operation.EDIT] = base
    return {**by_operation, Operation.GENERATE: base}


def sibling(pipeline: Any, class_name: str) -> Any:
    """A pipeline of another class over ``pipeline``'s modules; raises InvalidRequest if it lacks one they need."""
    cls = pipeline_class(class_name)
    given: dict[str, Any] = {}
    for name, parameter in list(inspect.signature(cls.__init__).parameters.items())[1:]:
        if name in pipeline.components:
            given[name] = pipeline.components[name]
        elif name in pipeline.config:
            given[name] = pipeline.config[name]
        elif parameter.default is parameter.empty:
            raise InvalidRequest(
                f"{class_name} needs a {name!r}, which {type(pipeline).__name__} does not have", param="pipeline"
            )
    return cls(**given)
