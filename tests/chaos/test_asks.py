"""What is asked for: repeatable, of every kind, and nothing that the server would refuse."""

import base64
import io
from itertools import islice

import pytest
from PIL import Image

from chaos.asks import Ask, asks
from limner.api.openai.fields import flatten, parse
from limner.catalogue import Catalogue

ACCOUNTS = ("metered", "free")
MANY = tuple(islice(asks(3, ACCOUNTS), 400))


def test_the_same_seed_asks_the_same() -> None:
    assert MANY[:20] == tuple(islice(asks(3, ACCOUNTS), 20))
    assert MANY[:20] != tuple(islice(asks(4, ACCOUNTS), 20))


def test_there_is_something_of_everything() -> None:
    assert {one.manner for one in MANY} == {"job", "async", "sync", "stream"}
    assert {one.then for one in MANY} == {"wait", "events", "forget", "cancel", "leave", "again"}
    assert {one.account for one in MANY} == set(ACCOUNTS)
    assert {one.fields["n"] for one in MANY} == {1, 2, 3}
    assert len({one.key for one in MANY}) == len(MANY)
    assert 0 < sum("seed" not in one.fields for one in MANY) < len(MANY)


@pytest.mark.parametrize("operation", ["generate", "edit", "inpaint"])
def test_its_fields_are_ones_that_the_model_takes(operation: str) -> None:
    spec = Catalogue.builtin().get("sketch")
    for one in (one for one in MANY if one.operation == operation):
        fields = flatten({name: value for name, value in one.fields.items() if name not in ("image", "mask")})
        size = parse(fields, from_form=False).parsed_size()
        assert size is not None
        assert min(size.width_px, size.height_px) >= spec.sizes.min_side_px
        assert size.width_px % spec.sizes.multiple == size.height_px % spec.sizes.multiple == 0
        assert len(one.fields.get("image", ())) <= spec.max_images


@pytest.mark.parametrize(
    ("manner", "operation", "path"),
    [
        ("job", "inpaint", "/v1/jobs"),
        ("async", "generate", "/v1/images/generations"),
        ("sync", "edit", "/v1/images/edits"),
        ("stream", "inpaint", "/v1/images/edits"),
    ],
)
def test_each_manner_has_its_way_in(manner: str, operation: str, path: str) -> None:
    one = Ask("key", "free", manner, operation, {"prompt": "x"})  # type: ignore[arg-type]
    assert one.path == path
    body = one.body("http://hook")
    assert body.get("operation") == ("inpaint" if manner == "job" else None)
    assert body.get("stream") == (True if manner == "stream" else None)
    assert "webhook" not in body


def test_a_hooked_ask_names_its_webhook() -> None:
    hooked = [one for one in MANY if one.hooked]
    assert {one.manner for one in hooked} == {"job"}
    assert all(one.body("http://hook")["webhook"] == "http://hook" for one in hooked)


def test_masks_leave_something_and_repaint_something() -> None:
    for one in (one for one in MANY if one.operation == "inpaint"):
        mask = Image.open(io.BytesIO(base64.b64decode(one.fields["mask"].partition(",")[2])))
        assert mask.getextrema() == (0, 255)
