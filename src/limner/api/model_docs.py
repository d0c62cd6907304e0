"""The models' parameters as schemas of the OpenAPI document, made from the catalogue when the document is asked for.

Owns their names there: ``Parameters.`` and the model's id. What is in them is the catalogue's.
"""

import re

from limner.api.documents import Docs, ref
from limner.catalogue import Catalogue, ModelSpec, schema


def name_of(spec: ModelSpec) -> str:
    """The schema's name: an id may hold characters that such a name may not."""
    return f"Parameters.{re.sub(r'[^A-Za-z0-9._-]', '.', spec.id)}"


def schemas() -> dict[str, Docs]:
    """One schema a model of the catalogue, and their union."""
    found: dict[str, Docs] = {name_of(spec): dict(schema(spec)) for spec in Catalogue.builtin().models()}
    union: Docs = {
        "anyOf": [ref(name) for name in found],
        "description": "one model's own parameters, as it names them",
    }
    return {**found, "ModelParameters": union}
