import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from limner.core import Picture
from limner.engine.cutting.edges import cut_out
from limner.engine.pictures import image_of, picture_of

RED, GREEN = (220, 30, 30), (20, 200, 40)


def blended(side: int = 128) -> tuple[Picture, Picture]:
    """A red disc whose soft edge has the green behind it shining through, and its true alpha."""
    alpha = Image.new("L", (side, side))
    ImageDraw.Draw(alpha).ellipse((30, 30, 98, 98), fill=255)
    alpha = alpha.filter(ImageFilter.GaussianBlur(2))
    image = Image.composite(Image.new("RGB", alpha.size, RED), Image.new("RGB", alpha.size, GREEN), alpha)
    return picture_of(image), picture_of(alpha)


def test_the_cut_out_has_the_size_the_alpha_and_no_colour_where_nothing_is_left() -> None:
    picture, alpha = blended()
    cut = image_of(cut_out(picture, alpha))
    assert (cut.mode, cut.size) == ("RGBA", (128, 128))
    assert cut.getchannel("A").tobytes() == alpha.pixels
    assert cut.getpixel((0, 0)) == (0, 0, 0, 0)
    assert cut.getpixel((64, 64)) == (*RED, 255)


def test_the_edge_keeps_no_trace_of_the_background() -> None:
    picture, alpha = blended()
    cut, shown = np.asarray(image_of(cut_out(picture, alpha))).astype(int), np.asarray(image_of(picture)).astype(int)
    edge = (cut[..., 3] > 25) & (cut[..., 3] < 230)
    assert edge.sum() > 300
    before, after = (np.abs(colours[edge][:, :3] - RED).mean() for colours in (shown, cut))
    assert before > 40
    assert after < before / 5


def test_blended_over_the_old_background_it_is_the_picture_again() -> None:
    picture, alpha = blended()
    ground = Image.new("RGBA", (128, 128), GREEN)
    again = np.asarray(Image.alpha_composite(ground, image_of(cut_out(picture, alpha))).convert("RGB")).astype(int)
    assert np.abs(again - np.asarray(image_of(picture))).mean() < 1


def test_what_was_transparent_stays_so() -> None:
    image = Image.new("RGBA", (16, 16), (*RED, 255))
    image.paste((0, 0, 0, 0), (0, 0, 8, 16))
    cut = image_of(cut_out(picture_of(image), picture_of(Image.new("L", (16, 16), 255))))
    assert cut.getpixel((3, 8)) == (0, 0, 0, 0)
    assert cut.getpixel((12, 8)) == (*RED, 255)
