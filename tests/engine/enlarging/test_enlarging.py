from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from limner.core import Picture, Size
from limner.engine import EngineSettings
from limner.engine.enlarging import Enlarging
from limner.engine.enlarging.enlarging import passes
from limner.engine.pictures import image_of, picture_of
from limner.errors import InternalError, InvalidRequest
from tests.engine.enlarging.fakes import Lanczos, Marked


def waves(width: int, height: int) -> Picture:
    """Smooth, and nowhere the same."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [127 + 120 * np.sin(x / 9 + k) * np.cos(y / 7 - k) for k in range(3)]
    return picture_of(Image.fromarray(np.stack(channels, -1).astype(np.uint8)))


def silent(step: int, total_steps: int) -> None:
    pass


def difference(one: Picture, other: Picture, rim_px: int = 0) -> int:
    a, b = (np.asarray(image_of(picture)).astype(int) for picture in (one, other))
    height, width = a.shape[:2]
    return int(np.abs(a - b)[rim_px : height - rim_px, rim_px : width - rim_px].max())


def resampled(picture: Picture, size: Size) -> Picture:
    return picture_of(image_of(picture).resize((size.width_px, size.height_px), Image.Resampling.LANCZOS))


def test_tiles_show_no_seam() -> None:
    picture, size = waves(700, 300), Size(1400, 600)
    model = Lanczos(scale=2)
    drawn = Enlarging(model, "").enlarge(picture, size, silent)
    assert len(model.seen) == 2
    assert difference(drawn, resampled(picture, size)) <= 1


def test_what_a_model_spoils_at_the_sides_of_tiles_does_not_show() -> None:
    picture, size = waves(700, 600), Size(1400, 1200)
    drawn = Enlarging(Marked(scale=2), "").enlarge(picture, size, silent)
    assert difference(drawn, resampled(picture, size), rim_px=16) <= 1


@pytest.mark.parametrize(
    ("own", "wanted", "sizes"),
    [
        (4, 4, ["400x200"]),
        (4, 2, ["200x100"]),
        (2, 8, ["200x100", "400x200", "800x400"]),
        (4, 8, ["400x200", "800x400"]),
        (3, 4, ["300x150", "400x200"]),
    ],
)
def test_a_model_of_any_scale_is_run_as_often_as_it_takes(own: int, wanted: int, sizes: list[str]) -> None:
    start, target = Size(100, 50), Size(100 * wanted, 50 * wanted)
    assert list(map(str, passes(start, target, own))) == sizes
    picture = waves(100, 50)
    drawn = Enlarging(Lanczos(scale=own), "").enlarge(picture, target, silent)
    assert drawn.size == target
    assert difference(drawn, resampled(picture, target), rim_px=16) <= 12


def test_tiles_of_a_scale_that_does_not_divide_the_wanted_one_still_meet() -> None:
    picture, size = waves(700, 100), Size(2800, 400)
    drawn = Enlarging(Lanczos(scale=3), "").enlarge(picture, size, silent)
    assert difference(drawn, resampled(picture, size), rim_px=16) <= 8


def test_progress_counts_the_tiles_of_all_passes() -> None:
    told: list[tuple[int, int]] = []
    Enlarging(Lanczos(scale=2), "").enlarge(waves(300, 60), Size(1200, 240), lambda *step: told.append(step))
    assert told == [(1, 3), (2, 3), (3, 3)]  # one of 300 pixels, two of 600


def test_what_telling_raises_ends_the_work_between_tiles() -> None:
    class Left(BaseException):
        pass

    def leave(step: int, total_steps: int) -> None:
        raise Left

    model = Lanczos(scale=2)
    with pytest.raises(Left):
        Enlarging(model, "").enlarge(waves(1200, 60), Size(2400, 120), leave)
    assert len(model.seen) == 1


def test_without_memory_for_a_tile_tiles_become_smaller() -> None:
    model = Lanczos(scale=2, most_px=200)
    picture, size = waves(300, 100), Size(600, 200)
    drawn = Enlarging(model, "").enlarge(picture, size, silent)
    assert set(model.seen) == {(128, 100)}
    assert difference(drawn, resampled(picture, size)) <= 1
    with pytest.raises(InternalError, match="not enough memory"):
        Enlarging(Lanczos(scale=2, most_px=100), "").enlarge(picture, size, silent)


def test_a_model_that_must_see_everything_gets_no_tiles() -> None:
    model = Lanczos(scale=2, whole=True)
    Enlarging(model, "").enlarge(waves(700, 40), Size(1400, 80), silent)
    assert model.seen == [(700, 40)]


@pytest.mark.parametrize("model", [None, Lanczos(scale=2)])
def test_transparency_is_kept_and_what_it_hides_does_not_bleed(model: Lanczos | None) -> None:
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    image.paste((250, 40, 40, 255), (10, 10, 30, 30))
    drawn = image_of(Enlarging(model, "").enlarge(picture_of(image), Size(80, 80), silent))
    assert [drawn.getchannel("A").getpixel(at) for at in ((2, 2), (40, 40))] == [0, 255]
    pixels = np.asarray(drawn).astype(int)
    visible = pixels[pixels[..., 3] > 40]
    assert np.abs(visible[:, :3] - (250, 40, 40)).max() < 12


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_resampling_needs_no_model(mode: str) -> None:
    grey = picture_of(Image.linear_gradient("L").convert(mode))
    model = Enlarging.load("resample", EngineSettings(device="cpu"))
    told: list[tuple[int, int]] = []
    drawn = model.enlarge(grey, Size(512, 512), lambda *step: told.append(step))
    assert (drawn.mode, drawn.size, told) == ("RGB", Size(512, 512), [(1, 1)])
    assert model.revision.startswith("pillow-")


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"there is no file '.*x\.pth'; name an upscaler's, or 'resample'"):
        Enlarging.load(str(tmp_path / "x.pth"), EngineSettings(device="cpu"))
