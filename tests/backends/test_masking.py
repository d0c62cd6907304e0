import pytest
from PIL import Image

from limner.backends.masking import Repainting, changing, extending
from limner.backends.pixels import picture_of
from limner.catalogue.spec import SizeRules
from limner.core import Picture, Size
from limner.errors import InvalidRequest

RULES = SizeRules(Size(256, 256), 32, 128, 512, 512 * 512, edit_pixels=256 * 256)
BLUE = (0, 0, 255)


def striped(width: int = 256, height: int = 256) -> Picture:
    """Each pixel's colour says where it is."""
    pixels = bytes(value for y in range(height) for x in range(width) for value in (x % 256, y % 256, (x + y) % 256))
    return Picture("RGB", Size(width, height), pixels)


def image(picture: Picture) -> Image.Image:
    return Image.frombytes(picture.mode, (picture.size.width_px, picture.size.height_px), picture.pixels)


def blue(size: Size) -> Picture:
    return picture_of(Image.new("RGB", (size.width_px, size.height_px), BLUE))


def drawn_blue(repainting: Repainting) -> Image.Image:
    return image(repainting.finished(blue(repainting.canvas.size)))


def extended(picture: Picture, size: Size, **params: int) -> Repainting:
    return extending(picture, params, size, RULES)


@pytest.mark.parametrize(
    ("params", "size", "kept"),
    [
        ({"right": 64}, Size(320, 256), (0, 0, 256, 256)),
        ({"left": 64}, Size(320, 256), (64, 0, 320, 256)),
        ({"top": 32, "bottom": 96}, Size(256, 384), (0, 32, 256, 288)),
        ({"left": 10, "right": 20, "top": 30, "bottom": 40}, Size(286, 326), (10, 30, 266, 286)),
    ],
)
def test_the_picture_stays_where_it_is_to_the_last_bit_and_the_rest_is_new(
    params: dict[str, int], size: Size, kept: tuple[int, int, int, int]
) -> None:
    made = drawn_blue(extended(striped(), size, **params))
    assert made.size == (size.width_px, size.height_px)
    assert made.crop(kept).tobytes() == striped().pixels
    outside = made.copy()
    outside.paste(BLUE, kept)
    assert outside.getcolors() == [(size.pixels, BLUE)]


def test_the_seam_is_blended_on_the_extended_sides_alone() -> None:
    made = drawn_blue(extended(striped(), Size(320, 256), right=64, feather=16))
    inner = made.crop((0, 0, 240, 256))
    assert inner.tobytes() == image(striped()).crop((0, 0, 240, 256)).tobytes()
    blues = [pixel[0] / 255 for pixel in (made.getpixel((x, 0)) for x in range(239, 258)) if isinstance(pixel, tuple)]
    assert blues[0] > 0.9
    assert blues == sorted(blues, reverse=True)
    assert blues[-1] == 0


def test_a_seam_is_never_wider_than_half_the_picture() -> None:
    made = drawn_blue(extended(striped(64, 256), Size(128, 256), left=32, right=32, feather=500))
    assert made.getpixel((64, 7)) == pytest.approx((32, 7, 39), abs=5)
    assert made.getpixel((33, 7)) == pytest.approx(BLUE, abs=15)


def test_what_is_repainted_is_all_that_is_blended_and_starts_from_the_pictures_edges() -> None:
    picture = picture_of(Image.new("RGB", (256, 256), (10, 200, 30)))
    repainting = extended(picture, Size(320, 256), right=64, feather=16)
    assert image(repainting.canvas).getcolors() == [(320 * 256, (10, 200, 30))]
    mask = image(repainting.mask)
    assert mask.getbbox() == (240, 0, 320, 256)
    assert sorted(value for _, value in mask.getcolors() or ()) == [0, 255]


def test_sizes_that_a_model_does_not_draw_are_drawn_a_little_larger_and_cut() -> None:
    repainting = extended(striped(), Size(301, 256), right=45)
    assert repainting.canvas.size == Size(320, 256)
    assert image(repainting.mask).getbbox() == (256, 0, 320, 256)
    assert drawn_blue(repainting).size == (301, 256)


@pytest.mark.parametrize("size", [Size(96, 64), Size(560, 100)])
def test_other_sizes_are_drawn_smaller_or_larger_and_the_picture_is_still_its_own(size: Size) -> None:
    picture = striped(size.width_px - 32, size.height_px)
    repainting = extended(picture, size, right=32)
    assert min(repainting.canvas.size.width_px, repainting.canvas.size.height_px) >= 128
    assert max(repainting.canvas.size.width_px, repainting.canvas.size.height_px) <= 512
    made = drawn_blue(repainting)
    assert made.crop((0, 0, size.width_px - 32, size.height_px)).tobytes() == picture.pixels


def test_a_canvas_that_was_scaled_down_takes_its_picture_and_its_sides_along() -> None:
    made = drawn_blue(extended(picture_of(Image.new("RGB", (768, 512), (255, 0, 0))), Size(512, 256), right=256))
    assert made.crop((0, 0, 384, 256)).getcolors() == [(384 * 256, (255, 0, 0))]
    assert made.crop((384, 0, 512, 256)).getcolors() == [(128 * 256, BLUE)]


def region(*box: int, size: tuple[int, int] = (256, 256)) -> Picture:
    mask = Image.new("L", size, 0)
    mask.paste(255, (box[0], box[1], box[2], box[3]))
    return picture_of(mask)


def test_a_region_is_replaced_with_a_soft_edge_and_nothing_else_is_touched() -> None:
    made = drawn_blue(changing(striped(), region(100, 100, 150, 150), Size(256, 256), RULES))
    assert made.crop((100, 100, 150, 150)).getcolors() == [(2500, BLUE)]
    far = image(striped())
    far.paste(made.crop((78, 78, 172, 172)), (78, 78))
    assert far.tobytes() == made.tobytes()
    assert made.getpixel((90, 125)) not in (BLUE, image(striped()).getpixel((90, 125)))


@pytest.mark.parametrize("size", [(300, 200), (1200, 800), (70, 40)])
def test_a_region_of_a_picture_of_any_size_is_drawn_at_the_models_size(size: tuple[int, int]) -> None:
    picture = striped(*size)
    box = (size[0] // 2, size[1] // 2, size[0] * 3 // 4, size[1] * 3 // 4)
    repainting = changing(picture, region(*box, size=size), picture.size, RULES)
    assert repainting.canvas.size.pixels <= RULES.edit_pixels
    made = drawn_blue(repainting)
    assert made.size == size
    assert made.crop(box).getcolors() == [((box[2] - box[0]) * (box[3] - box[1]), BLUE)]
    quarter = (0, 0, size[0] // 4, size[1])
    assert made.crop(quarter).tobytes() == image(picture).crop(quarter).tobytes()


def test_a_region_that_marks_nothing_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="nothing of it was found") as caught:
        changing(striped(), region(0, 0, 0, 0), Size(256, 256), RULES)
    assert caught.value.param == "region"
