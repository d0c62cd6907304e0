import pytest

from limner.core import Background, ImageFormat, Operation, Output
from limner.errors import InvalidRequest
from tests.catalogue.make import ask, picture


@pytest.mark.parametrize("background", ["auto", "transparent"])
def test_a_cut_out_in_jpeg_is_refused_unless_white_was_asked_for(background: Background) -> None:
    with pytest.raises(InvalidRequest, match=r"'output_format': 'jpeg' has no transparency.*png or webp") as caught:
        ask("cutout", Operation.REMOVE_BACKGROUND, output=Output("jpeg", background=background))
    assert caught.value.param == "output_format"


@pytest.mark.parametrize(
    ("image_format", "background"),
    [("jpeg", "opaque"), ("png", "auto"), ("png", "transparent"), ("webp", "auto"), ("webp", "opaque")],
)
def test_every_other_output_is_taken(image_format: ImageFormat, background: Background) -> None:
    output = Output(image_format, background=background)
    assert ask("cutout", Operation.REMOVE_BACKGROUND, output=output).request.output == output


def test_other_operations_may_be_jpeg() -> None:
    assert ask("resample", Operation.UPSCALE, output=Output("jpeg")).request.output.format == "jpeg"


@pytest.mark.parametrize(
    ("model", "operation", "size"),
    [
        ("cutout", Operation.REMOVE_BACKGROUND, (100, 16_384)),
        ("resample", Operation.UPSCALE, (4096, 100)),
        ("sketch", Operation.REGION_EDIT, (16_384, 100)),
    ],
)
def test_a_picture_that_its_format_cannot_hold_is_refused_before_it_is_drawn(
    model: str, operation: Operation, size: tuple[int, int]
) -> None:
    asked = {"inputs": (picture(*size),)}
    with pytest.raises(InvalidRequest, match=r"'output_format': 'webp'.* 16,383 pixels.*Allowed: png") as caught:
        ask(model, operation, output=Output("webp"), **asked)
    assert caught.value.param == "output_format"
    for fits in (Output("png"), Output("jpeg", background="opaque")):
        assert ask(model, operation, output=fits, **asked).request.output == fits


def test_what_is_only_looked_at_fits_any_format() -> None:
    assert ask("reader", Operation.DESCRIBE, inputs=(picture(16_384, 100),), output=Output("webp")).request
