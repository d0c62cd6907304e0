"""The catalogue: what every model can do, as data, and the one resolver that holds requests against it.

``Catalogue`` finds models, ``resolve`` turns what was asked into what will be done, ``describe`` publishes a model and
``effective`` echoes a request. No model's name stands in this package's code.
"""

from limner.catalogue.describe import describe, effective
from limner.catalogue.index import Catalogue, SourceMatch
from limner.catalogue.load import CatalogueError
from limner.catalogue.resolve import Policy, Resolution, resolve
from limner.catalogue.schema import schema
from limner.catalogue.spec import BORROWED, ModelSpec, ParamSpec, Route, SizeRules

__all__ = [
    "BORROWED",
    "Catalogue",
    "CatalogueError",
    "ModelSpec",
    "ParamSpec",
    "Policy",
    "Resolution",
    "Route",
    "SizeRules",
    "SourceMatch",
    "describe",
    "effective",
    "resolve",
    "schema",
]
