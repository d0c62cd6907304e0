"""The documents' parameter tables, transcribed, and what their words for valid values mean."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

HERE = Path(__file__).parent
ROUTELLM = tomllib.loads((HERE / "routellm_tables.toml").read_text(encoding="utf-8"))
RELAY = tomllib.loads((HERE / "relay_tables.toml").read_text(encoding="utf-8"))

Kind = Literal["choice", "flag", "integer", "number", "text", "images"]
RANGE = re.compile(r"(-?[\d.]+)–(-?[\d.]+)(?: \(step ([\d.]+)\))?")
FILES = re.compile(r"Image files?(?: \(max (\d+)\))?")


@dataclass(frozen=True)
class Row:
    """One parameter of one model, as the document has it."""

    model: str
    name: str
    kind: Kind
    required: bool
    default: Any
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    step: float | None = None

    def __str__(self) -> str:
        return f"{self.model}-{self.name}"


def row(model: str, cells: list[str]) -> Row:
    name, type_, required, valid, default = cells
    given = None if default == "—" else default
    files, bounds = FILES.match(valid), RANGE.fullmatch(valid)
    if files:
        return Row(model, name, "images", required == "Yes", None, high=float(files[1] or 1))
    if type_ == "boolean":
        return Row(model, name, "flag", required == "Yes", None if given is None else given == "true")
    if bounds:
        low, high, step = (None if part is None else float(part) for part in bounds.groups())
        kind: Kind = "integer" if type_ == "integer" else "number"
        return Row(model, name, kind, required == "Yes", given and float(given), (), low, high, step)
    if valid in ("Any text", "Any integer"):
        return Row(model, name, "text" if valid == "Any text" else "integer", required == "Yes", given)
    choices = tuple(re.sub(r" \(.*\)", "", choice) for choice in valid.split(", "))
    return Row(model, name, "choice", required == "Yes", given, choices)


def rows() -> Iterator[Row]:
    """Every row of every table, the common ones for every model that has them."""
    common, *tables = ROUTELLM["tables"]
    missing = {(model, each["parameter"]) for each in ROUTELLM["not_supported"] for model in each["models"]}
    own = {model: table["rows"] for table in tables for model in table["models"]}
    for model in ROUTELLM["models"]:
        named = {cells[0] for cells in own.get(model, ())}
        shared = [cells for cells in common["rows"] if cells[0] not in named and (model, cells[0]) not in missing]
        yield from (row(model, cells) for cells in [*shared, *own.get(model, ())])
    for model in ROUTELLM["language_models"]:
        yield from (row(model, cells) for cells in common["rows"])
    for table in RELAY["tables"]:
        yield from (row(model, cells) for model in table["models"] for cells in table["rows"])


ROWS = tuple(rows())
