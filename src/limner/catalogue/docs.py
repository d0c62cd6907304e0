"""The page of models, written from the data: ``python -m limner.catalogue.docs [FILE]``.

Owns Markdown only. A test holds the page in the repository against `render`.
"""

import math
import sys
from collections.abc import Iterable
from pathlib import Path

from limner.catalogue.conditions import condition_of
from limner.catalogue.index import Catalogue
from limner.catalogue.spec import ModelSpec, ParamSpec, SizeRules
from limner.catalogue.values import allowed
from limner.core import Operation

PAGE = Path("docs/models.md")
INTRODUCTION = """\
# Models

<!-- Written by `python -m limner.catalogue.docs` from src/limner/catalogue/data; edit the data, not this page. -->

`limner serve NAME ...` serves any of these by its id or an alias. A Hugging Face id, a directory or a single file that
is not listed is recognised by its name or by its pipeline class and gets that model's parameters under its own name;
what cannot be recognised at all gets general defaults and a warning. `GET /v1/models` publishes the same as JSON.

A value out of range is an error that names what is allowed. A parameter that is *always* one value, or *without
effect*, is taken and answered with a warning. Sizes are snapped to the model's multiple with a warning; without a size,
an edit keeps the first picture's proportions, and a drawing follows the prompt ("in portrait format", "16:9",
"1024x768") or the default. Where a default is empty, the pipeline's own applies. Licences are those of the weights:
read them before use.
"""


def render(catalogue: Catalogue) -> str:
    """The whole page."""
    models = catalogue.models()
    overview = _table(
        ("model", "operations", "default size", "input pictures", "licence"),
        (
            (
                f"[{m.title}](#{_anchor(m.title)})",
                _operations(m),
                str(m.sizes.default),
                str(m.max_images),
                m.licence or "",
            )
            for m in models
        ),
    )
    return "\n".join([INTRODUCTION, overview, *(_model(model) for model in models)])


def _model(spec: ModelSpec) -> str:
    aliases = ", ".join(f"`{alias}`" for alias in spec.aliases)
    rules = spec.sizes
    lines = [
        f"\n## {spec.title}\n",
        f"`{spec.id}`" + (f", also {aliases}" if aliases else "") + "\n",
        *(f"{note}\n" for note in spec.notes),
        f"Sides are multiples of {rules.multiple}, from {rules.min_side_px} to {rules.max_side_px}, together at most "
        f"{rules.max_pixels:,} pixels.{_inputs(rules)} Up to {spec.max_n} pictures a request. {_pipelines(spec)}\n",
        _table(("parameter", "allowed", "default", ""), (_row(param) for param in spec.params.values())),
    ]
    return "\n".join(lines)


def _row(param: ParamSpec) -> tuple[str, str, str, str]:
    return (f"`{param.name}`", allowed(param), _default(param), _remarks(param))


def _default(param: ParamSpec) -> str:
    shared = "" if param.default is None else f"`{param.default!r}`"
    return ", ".join([shared, *(f"{op.value} `{value!r}`" for op, value in param.defaults.items())]).removeprefix(", ")


def _remarks(param: ParamSpec) -> str:
    places = ", ".join(op.value for op in Operation if op in param.operations)
    remarks = (
        param.description,
        f"Only for {places}." if places else None,
        f"Always {param.forced}." if param.forced is not None else None,
        f"Without effect: {param.ignored}." if param.ignored else None,
        _ignored_when(param.ignored_when) if param.ignored_when else None,
        f"When set: {param.caution}." if param.caution else None,
        "Required." if param.required else None,
    )
    return " ".join(remark for remark in remarks if remark)


def _ignored_when(condition: str) -> str:
    given = "" if condition_of(condition) else " is given"
    return f"Without effect when {condition}{given}."


def _inputs(rules: SizeRules) -> str:
    """What the model demands of pictures that it looks at, if it demands anything."""
    wishes = []
    if rules.min_input_px > 1:
        wishes.append(f"no side below {rules.min_input_px} pixels")
    if math.isfinite(rules.max_input_ratio):
        wishes.append(f"no side over {rules.max_input_ratio:g} times the other")
    return f" Input pictures: {', '.join(wishes)}." if wishes else ""


def _pipelines(spec: ModelSpec) -> str:
    classes = dict.fromkeys(name for route in spec.routes for name in route.pipelines.values())
    return f"Runs on {', '.join(f'`{name}`' for name in classes)}."


def _operations(spec: ModelSpec) -> str:
    return ", ".join(operation.value for operation in spec.sorted_operations)


def _anchor(title: str) -> str:
    """The id that GitHub gives a heading."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(arguments: list[str]) -> None:
    """Write the page to the file named, or to its place in a checkout."""
    page = Path(arguments[0]) if arguments else PAGE
    page.write_text(render(Catalogue.builtin()), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
