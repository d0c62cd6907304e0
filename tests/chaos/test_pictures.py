"""Pictures are compared by what they show."""

import io

from PIL import Image

from chaos.pictures import difference


def file(colour: tuple[int, int, int], size: tuple[int, int] = (4, 4)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_furthest_channel_counts() -> None:
    assert difference(file((10, 20, 30)), file((10, 20, 30))) == 0
    assert difference(file((10, 20, 30)), file((12, 20, 23))) == 7


def test_pictures_of_different_sizes_have_nothing_in_common() -> None:
    assert difference(file((1, 1, 1)), file((1, 1, 1), (4, 8))) == 255
