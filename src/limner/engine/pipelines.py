"""Pipeline classes by name and by operation, and siblings: other classes over the same modules.

Owns class look-up; knows nothing about running them. Siblings are built from components, because diffusers' own
`from_pipe` casts shared weights and shares the scheduler.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from limner.core import Operation
from limner.errors import InvalidRequest

# What diffusers' own tables of tasks miss, by the pipeline class a checkpoint names.
_EXTRA: Mapping[str, Mapping[Operation, str]] = {
    "Flux2KleinPipeline": {
        Operation.GENERATE: "Flux2KleinPipeline",
        Operation.EDIT: "Flux2KleinPipeline",
        Operation.INPAINT: "Flux2KleinInpaintPipeline",
    },
    "Flux2Pipeline": {Operation.GENERATE: "Flux2Pipeline", Operation.EDIT: "Flux2Pipeline"},
    "QwenImageEditPlusPipeline": {Operation.EDIT: "QwenImageEditPlusPipeline"},
    "QwenImageEditPipeline": {
        Operation.EDIT: "QwenImageEditPipeline",
        Operation.INPAINT: "QwenImageEditInpaintPipeline",
    },
    "FluxFillPipeline": {Operation.INPAINT: "FluxFillPipeline"},
    "FluxKontextPipeline": {
        Operation.GENERATE: "FluxKontextPipeline",
        Operation.EDIT: "FluxKontextPipeline",
        Operation.INPAINT: "FluxKontextInpaintPipeline",
    },
}


def pipeline_class(name: str) -> Any:
    """The diffusers pipeline class of that name; raises InvalidRequest if there is none."""
    import diffusers

    found = getattr(diffusers, name, None)
    if not (isinstance(found, type) and issubclass(found, diffusers.DiffusionPipeline)):
        raise InvalidRequest(f"{name!r} is not a pipeline class of diffusers {diffusers.__version__}", param="pipeline")
    return found


def operations_of(class_name: str) -> dict[Operation, str]:
    """Which pipeline class does each operation for a checkpoint that names ``class_name``."""
    if class_name in _EXTRA:
        return dict(_EXTRA[class_name])
    from diffusers.pipelines import auto_pipeline

    tables = {
        Operation.GENERATE: auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
        Operation.EDIT: auto_pipeline.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
        Operation.INPAINT: auto_pipeline.AUTO_INPAINT_PIPELINES_MAPPING,
    }
    families = {family for table in tables.values() for family, found in table.items() if found.__name__ == class_name}
    by_operation = {
        operation: table[family].__name__
        for operation, table in tables.items()
        for family in families
        if family in table
    }
    return by_operation or {Operation.GENERATE: class_name}


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
