import pytest

from limner.core import Picture, PixelMode, Size
from limner.errors import InvalidRequest
from limner.media.mask import as_mask

SIZE = Size(3, 1)


def strip(mode: PixelMode, *values: int | tuple[int, ...]) -> Picture:
    pixels = b"".join(bytes(value if isinstance(value, tuple) else (value,)) for value in values)
    return Picture(mode, Size(len(values), 1), pixels)


@pytest.mark.parametrize(
    "picture",
    [
        strip("RGBA", (9, 9, 9, 255), (9, 9, 9, 155), (9, 9, 9, 0)),
        strip("RGBA", (255, 255, 255, 255), (255, 255, 255, 155), (255, 255, 255, 0)),
        strip("RGBA", (0, 0, 0, 255), (100, 100, 100, 255), (255, 255, 255, 255)),
        strip("RGB", (0, 0, 0), (100, 100, 100), (255, 255, 255)),
        strip("L", 0, 100, 255),
    ],
    ids=["transparent on dark", "transparent on white", "opaque alpha", "white on black", "grey"],
)
def test_both_conventions_give_255_where_to_repaint(picture: Picture) -> None:
    assert as_mask(picture, SIZE, param="mask") == Picture("L", SIZE, bytes([0, 100, 255]))


def test_a_mask_of_another_size_is_refused_naming_both() -> None:
    with pytest.raises(InvalidRequest, match=r"3x1 .* 30x10") as caught:
        as_mask(strip("L", 0, 1, 2), Size(30, 10), param="mask")
    assert caught.value.param == "mask"


@pytest.mark.parametrize(
    "picture",
    [
        strip("L", 0, 0),
        strip("RGB", (0, 0, 0), (0, 0, 0)),
        strip("L", 0, 127),
        strip("RGBA", (255, 255, 255, 255), (255, 255, 255, 128)),
    ],
)
def test_a_mask_that_marks_nothing_is_refused(picture: Picture) -> None:
    with pytest.raises(InvalidRequest, match="nothing to repaint") as caught:
        as_mask(picture, picture.size, param="mask")
    assert caught.value.param == "mask"


def test_a_mask_that_repaints_just_one_pixel_is_taken() -> None:
    assert as_mask(strip("L", 0, 128), Size(2, 1), param="mask").pixels == bytes([0, 128])


def test_a_wholly_transparent_mask_repaints_everything() -> None:
    assert as_mask(strip("RGBA", (0, 0, 0, 0)), Size(1, 1), param="mask").pixels == b"\xff"
