"""What holds for every request: a resolved one resolves to itself, and nothing but a LimnerError is ever raised."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from limner.catalogue import ModelSpec, ParamSpec, describe, effective, resolve
from limner.catalogue.resolve import SEVERAL
from limner.catalogue.sizing import problem
from limner.core import Lora, Operation, Request, Size
from limner.errors import LimnerError
from tests.catalogue.make import MODELS, POLICY, needed, picture

specs = st.sampled_from(MODELS)
sides = st.integers(1, 4000)
junk = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers()))
KEPT = {Operation.OUTPAINT, Operation.REGION_EDIT}
prompts = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(["a cat", ",", " ", "16:9", "portrait", "1024x768", "3000 x 2000", "in", "format"]), max_size=6
    ).map(" ".join),
)


def values(param: ParamSpec) -> st.SearchStrategy[Any]:
    """Mostly allowed values."""
    low, high = param.minimum or 0, param.maximum or 100
    match param.type:
        case "integer":
            whole = int(param.step or 1)
            return st.integers(0, (int(high) - int(low)) // whole).map(lambda count: int(low) + count * whole)
        case "number" if param.step:
            step = param.step
            return st.integers(0, round((high - low) / step)).map(lambda count: low + count * step)
        case "number":
            return st.floats(low, high)
        case "enum":
            return st.sampled_from(param.choices)
        case "boolean":
            return st.booleans()
        case "string":
            return st.text(max_size=10)
        case "loras":
            return st.builds(Lora, st.text(min_size=1, max_size=5), st.floats(low, high)).map(lambda lora: (lora,))
        case "size":
            return st.sampled_from(["1024x768", "300x300", *param.choices, *param.scales])
        case "images" | "mask":
            return st.integers(0, 3)


@st.composite
def asked(draw: st.DrawFn, *, valid: bool) -> tuple[ModelSpec, Request]:
    spec = draw(specs)
    # Mostly operations that the model has, so that the later checks are reached too.
    operation = draw(st.sampled_from(spec.sorted_operations if valid else (*spec.sorted_operations * 8, *Operation)))
    first = picture(draw(st.integers(1, 300)), draw(st.integers(1, 300)))
    pictures = ("images", "mask")
    table = {p.name: values(p) for p in spec.params.values() if not valid or p.applies_to(operation)}
    if valid:
        table = {name: value for name, value in table.items() if spec.params[name].type not in pictures}
    params = draw(st.fixed_dictionaries({}, optional=table))
    if not valid:
        params |= draw(st.dictionaries(st.sampled_from([*spec.params, "other"]), junk, max_size=2))
    rules = spec.sizes
    fields = {p.field for p in spec.params.values()} if valid else set()
    shaped = valid and any(p.sizing or p.field in ("size", "width") for p in spec.params.values())
    bounded = st.builds(Size, *[st.integers(rules.min_side_px, rules.max_side_px)] * 2)
    counts = st.integers(needed(spec), max(spec.max_images, 1))
    request = Request(
        operation=operation,
        model="",
        prompt=draw(prompts) + ("a cat" if valid else draw(st.sampled_from(["a cat", "a dog", ""]))),
        inputs=() if operation is Operation.GENERATE else (first,) * (draw(counts) if operation in SEVERAL else 1),
        mask=first if operation is Operation.INPAINT else None,
        n=draw(st.integers(1, 1 if "n" in fields else spec.max_n) if valid else st.sampled_from([1, 2, 10, 0, 11])),
        size=None if shaped else draw(st.none() | (bounded if valid else st.builds(Size, sides, sides))),
        seed=None if "seed" in fields else draw(st.none() | st.integers(0, 2**63 - 10)),
        params=params,
    )
    return spec, request


def outcome(spec: ModelSpec, request: Request) -> Request | LimnerError:
    try:
        return resolve(request, spec, POLICY).request
    except LimnerError as error:
        return error


@settings(max_examples=300, deadline=None)
@given(asked(valid=True))
def test_resolving_twice_is_resolving_once(case: tuple[ModelSpec, Request]) -> None:
    spec, request = case
    once = outcome(spec, request)
    if isinstance(once, LimnerError):  # values that are each allowed can still be too much together
        texts = ("prompt", "negative_prompt")  # which may be blank, or hold what a model's texts may not
        sizes = ("size", "image_size", "resolution", "aspect_ratio")  # which may contradict each other
        operations = ("left", "region")  # which an operation must be told
        assert once.param in ("strength", "lora", "image", *sizes, *texts, *operations)
        return
    assert resolve(once, spec, POLICY).request == once
    assert once.size is not None
    if once.operation in KEPT:  # the picture's own pixels stay, whatever the model draws
        assert once.size.pixels <= max(spec.sizes.max_pixels, once.inputs[0].size.pixels)
    else:
        assert problem(once.size, spec.sizes) is None
        assert once.size.width_px % spec.sizes.multiple == once.size.height_px % spec.sizes.multiple == 0
    assert effective(once, spec)["size"] == str(once.size)


@settings(max_examples=300, deadline=None)
@given(asked(valid=False))
def test_whatever_is_asked_either_resolves_or_says_what_is_wrong(case: tuple[ModelSpec, Request]) -> None:
    spec, request = case
    result = outcome(spec, request)
    if isinstance(result, LimnerError):
        assert result.status == 400
        assert result.param
        assert result.message


def test_every_description_is_json() -> None:
    import orjson

    for spec in MODELS:
        assert orjson.loads(orjson.dumps(describe(spec)))["id"] == spec.id
