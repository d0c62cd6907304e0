import pytest

from limner.core import Background, ImageFormat, Operation, Output
from limner.errors import InvalidRequest
from tests.catalogue.make import ask


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
