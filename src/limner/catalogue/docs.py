"""The page of models, written from the data: ``python -m limner.catalogue.docs [FILE]``.

Owns Markdown only. A test holds the page in the repository against `render`.
"""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from limner.catalogue.conditions import condition_of
from limner.catalogue.index import Catalogue
from limner.catalogue.load import Virtual
from limner.catalogue.spec import BORROWED, LOCAL, ModelSpec, ParamSpec, SizeRules
from limner.catalogue.values import allowed
from limner.core import Operation

PAGE = Path("docs/models.md")
FEW = 3  # sizes that are named twice, here and where a parameter has them
INTRODUCTION = """\
# Models

<!-- Written by `python -m limner.catalogue.docs` from src/limner/catalogue/data; edit the data, not this page. -->

`limner serve NAME ...` serves any of the [models with weights](#models-with-weights) by its id or an alias. A Hugging
Face id, a directory or a single file that is not listed is recognised by its name or by its pipeline class and gets
that model's parameters under its own name; what cannot be recognised at all gets general defaults and a warning.
[Hosted models](#hosted-models) have no weights to load: another model stands in for them, which every reply says in its
warnings. One that is named in their *drawn by* does so whenever it is served; `limner serve --stand-in MODEL` lets
MODEL answer for every model of this page. `GET /v1/models` publishes the same as JSON.

A value out of range is an error that names what is allowed. A parameter that is *always* one value, or *without
effect*, is taken and answered with a warning. Sizes are snapped to the model's multiple with a warning; without a size,
an edit keeps the first picture's proportions, and a drawing follows the prompt ("in portrait format", "16:9",
"1024x768") or the default. Where a default is empty, the pipeline's own applies. Seeds are integers; one that is
outside 0 to 2^63 - 1 becomes one that is inside, with a warning. Licences are those of the weights: read them before
use.
"""
VIRTUAL = """\

## Names for whichever model fits

The first model of the list that is served and can do what is asked, then any other. The reply's `model` names the one
that was used. A name with an operation asks for that itself, on whatever route it is used.
"""


def render(catalogue: Catalogue) -> str:
    """The whole page."""
    loadable = [spec for spec in catalogue.models() if spec.loads is not None]
    hosted = [spec for spec in catalogue.models() if spec.loads is None]
    parts = [INTRODUCTION, *_part("Models with weights", loadable), *_part("Hosted models", hosted)]
    names = (_named(each) for each in catalogue.virtual())
    return "\n".join([*parts, VIRTUAL, _table(("name", "operation", "prefers"), names)])


def _named(virtual: Virtual) -> tuple[str, ...]:
    operation = "" if virtual.operation is None else virtual.operation.value
    return (f"`{virtual.id}`", operation, ", ".join(f"`{name}`" for name in virtual.prefer))


def _part(heading: str, models: Sequence[ModelSpec]) -> Iterator[str]:
    yield f"\n## {heading}\n"
    head = ("model", "id", "operations", "default size", "input pictures", "licence")
    yield _table(head, (_overview(model) for model in models))
    yield from (_model(model) for model in models)


def _overview(spec: ModelSpec) -> tuple[str, ...]:
    link = f"[{spec.title}](#{_anchor(spec.title)})"
    size, pictures = str(spec.sizes.default), str(spec.max_images)
    return (link, f"`{spec.id}`", _operations(spec), size, pictures, spec.licence or "")


def _model(spec: ModelSpec) -> str:
    aliases = ", ".join(f"`{alias}`" for alias in spec.aliases)
    lines = [
        f"\n### {spec.title}\n",
        f"`{spec.id}`" + (f", also {aliases}" if aliases else "") + "\n",
        *(f"{note}\n" for note in spec.notes),
        f"{_extent(spec.sizes)}{_inputs(spec.sizes)} Up to {_count(spec.max_n, 'picture')} a request. {_runs(spec)}\n",
        _table(("parameter", "allowed", "default", ""), (_row(param) for param in spec.params.values())),
    ]
    return "\n".join(lines)


def _extent(rules: SizeRules) -> str:
    if len(rules.choices) > FEW:
        return f"{len(rules.choices)} sizes, those that its parameters name."
    if rules.choices:
        return f"Sizes: {', '.join(map(str, rules.choices))}."
    return (
        f"Sides are multiples of {rules.multiple}, from {rules.min_side_px} to {rules.max_side_px}, together at most "
        f"{rules.max_pixels:,} pixels.{_native(rules)}"
    )


def _native(rules: SizeRules) -> str:
    return "" if rules.native is None else f" All is drawn at {rules.native} and brought to its size."


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _row(param: ParamSpec) -> tuple[str, str, str, str]:
    return (f"`{param.name}`", allowed(param), _default(param), _remarks(param))


def _default(param: ParamSpec) -> str:
    shared = "" if param.default is None else f"`{param.default!r}`"
    return ", ".join([shared, *(f"{op.value} `{value!r}`" for op, value in param.defaults.items())]).removeprefix(", ")


def _remarks(param: ParamSpec) -> str:
    places = ", ".join(op.value for op in Operation if op in param.operations)
    field = param.field
    remarks = (
        param.description,
        f"Only for {places}." if places else None,
        f"Always {param.forced}." if param.forced is not None else None,
        f"Without effect: {param.ignored}." if param.ignored else None,
        _ignored_when(param.ignored_when) if param.ignored_when else None,
        f"When set: {param.caution}." if param.caution else None,
        f"The same as `{field}`." if field not in (None, param.name) else None,
        _meaning(param),
        "Required." if param.required else None,
    )
    return " ".join(remark for remark in remarks if remark)


def _meaning(param: ParamSpec) -> str | None:
    """What its values stand for in pixels and credits."""
    sizes = [f"{value} = {size or 'open'}" for value, size in param.sizes.items()]
    scales = [f"{value}: sides x {factor:g}" for value, factor in param.scales.items()]
    costs = [f"{value}: {factor:g} times the credits" for value, factor in param.cost_factors.items()]
    return f"({'; '.join((*sizes, *scales, *costs))})" if sizes or scales or costs else None


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


def _runs(spec: ModelSpec) -> str:
    """What draws it: pipelines, models that stand in for it, upstreams."""
    classes = dict.fromkeys(f"`{name}`" for route in spec.routes for name in route.pipelines.values())
    borrowed = [f"`{route.source}`" for route in spec.routes if route.backend == BORROWED]
    upstreams = [f"{route.source} ({route.backend})" for route in spec.routes if route.backend not in (LOCAL, BORROWED)]
    told = (
        f"Runs on {', '.join(classes)}." if classes else "",
        f"Drawn by {', '.join(borrowed)} where served." if borrowed else "",
        f"Upstreams: {', '.join(upstreams)}." if upstreams else "",
    )
    return " ".join(filter(None, told))


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
