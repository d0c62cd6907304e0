"""``limner models``: the catalogue's models, or a server's."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from limner.cli.ask import Where
from limner.cli.tables import table
from limner.errors import InvalidRequest


def print_models(where: Where, *, loaded: bool, as_json: bool) -> None:
    """Print one line a model, or all that is known of them as JSON. Raises LimnerError."""
    if loaded and where.server is None:
        raise InvalidRequest("--loaded asks what a server has loaded: add --server URL", param="loaded")
    models = _of_server(where.server, where.api_key) if where.server is not None else _of_catalogue()
    if loaded:
        models = [model for model in models if model.get("state") == "ready"]
    if as_json or models:
        print(json.dumps(models, indent=2) if as_json else _table(models))


def _of_server(server: str, api_key: str | None) -> list[dict[str, Any]]:
    from limner.cli import remote

    return remote.models(server, api_key)


def _of_catalogue() -> list[dict[str, Any]]:
    from limner.catalogue import Catalogue, describe

    return [dict(describe(spec)) for spec in Catalogue.builtin().models()]


def _table(models: Sequence[Mapping[str, Any]]) -> str:
    """Columns padded with spaces: id, of a server's models their state and what stands in for them, operations."""
    columns = [name for name in ("state", "stand_in") if any(model.get(name) for model in models)]
    rows = [
        (str(model["id"]), *(_shown(name, model) for name in columns), " ".join(model.get("operations", ())))
        for model in models
    ]
    return table(rows)


def _shown(name: str, model: Mapping[str, Any]) -> str:
    value = model.get(name) or ""
    return f"drawn by {value}" if name == "stand_in" and value else str(value)
