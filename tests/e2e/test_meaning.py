"""What the embedded model draws means what was asked, over HTTP."""

import base64
import io

import httpx2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw

from tests.e2e.conftest import Server

Pixels = npt.NDArray[np.float64]


def draw(server: Server, prompt: str, **fields: object) -> Pixels:
    reply = httpx2.post(f"{server.api}/images/generations", json={"prompt": prompt, **fields}, timeout=120)
    assert reply.status_code == 200, reply.text
    return pixels(reply.json()["data"][0]["b64_json"])


def pixels(b64: str) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(b64))).convert("RGB"), float)


def patch(picture: Pixels, x: float, y: float, half: int = 8) -> Pixels:
    height, width, _ = picture.shape
    row, column = int(y * height), int(x * width)
    found: Pixels = picture[max(row - half, 0) : row + half, max(column - half, 0) : column + half].mean((0, 1))
    return found


def is_red(color: Pixels) -> bool:
    return bool(color[0] > 150 and color[1] < 110 and color[2] < 110)


def is_white(color: Pixels) -> bool:
    return bool(color.min() > 215)


@pytest.mark.parametrize("seed", range(5))
def test_a_red_circle_is_red_in_the_middle_and_white_in_the_corners(server: Server, seed: int) -> None:
    picture = draw(server, "a red circle on a white background", seed=seed)
    assert is_red(patch(picture, 0.5, 0.5))
    for x, y in ((0.05, 0.05), (0.95, 0.05), (0.05, 0.95), (0.95, 0.95)):
        assert is_white(patch(picture, x, y))


def test_the_same_seed_gives_the_same_picture_and_another_seed_another(server: Server) -> None:
    first, again, other = (draw(server, "a green tree", seed=seed) for seed in (11, 11, 12))
    assert np.abs(first - again).max() <= 1
    assert np.abs(first - other).max() > 20


def test_left_is_left(server: Server) -> None:
    picture = draw(server, "a red circle to the left of a blue square on a white background", seed=1)
    red = (picture[..., 0] > 150) & (picture[..., 2] < 110)
    blue = (picture[..., 2] > 150) & (picture[..., 0] < 110)
    assert red.mean() > 0.01
    assert blue.mean() > 0.01
    assert np.nonzero(red)[1].mean() < np.nonzero(blue)[1].mean()


@pytest.mark.parametrize("prompt", ["a dog in a spaceship", "red", "hello", "asdf qwerty", "🙂"])
def test_prompts_outside_its_world_are_clean_not_noise(server: Server, prompt: str) -> None:
    picture = draw(server, prompt, seed=5)
    roughness = np.abs(np.diff(picture, axis=0)).mean() + np.abs(np.diff(picture, axis=1)).mean()
    assert roughness < 12  # white noise has about 170


@pytest.mark.parametrize("size", ["128x128", "256x192", "192x320", "512x512"])
def test_sizes(server: Server, size: str) -> None:
    width, height = map(int, size.split("x"))
    picture = draw(server, "a red circle on a white background", size=size, seed=2)
    assert picture.shape == (height, width, 3)


def test_an_edit_changes_what_it_says_and_keeps_the_rest(server: Server) -> None:
    source = Image.new("RGB", (256, 256), (250, 250, 250))
    Image.Image.paste(source, (220, 30, 35), (80, 80, 176, 176))
    buffer = io.BytesIO()
    source.save(buffer, "PNG")
    reply = httpx2.post(
        f"{server.api}/images/edits",
        data={"prompt": "make it blue", "seed": "1"},
        files={"image": ("square.png", buffer.getvalue(), "image/png")},
        timeout=120,
    )
    assert reply.status_code == 200, reply.text
    picture = pixels(reply.json()["data"][0]["b64_json"])
    middle = patch(picture, 0.5, 0.5)
    assert middle[2] > 150 > middle[0]
    assert is_white(patch(picture, 0.06, 0.06))


def test_an_inpainting_replaces_what_is_under_the_mask_and_keeps_the_rest(server: Server) -> None:
    blue, red = (30, 90, 220), (220, 30, 35)
    source, mask = Image.new("RGB", (256, 256), blue), Image.new("L", (256, 256), 0)
    ImageDraw.Draw(source).ellipse((80, 80, 176, 176), fill=red)
    mask.paste(255, (64, 64, 192, 192))
    files = {}
    for name, image in (("image", source), ("mask", mask)):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        files[name] = (f"{name}.png", buffer.getvalue(), "image/png")
    fields = {"prompt": "a white star on a blue background", "seed": "0"}
    reply = httpx2.post(f"{server.api}/images/edits", data=fields, files=files, timeout=120)
    assert reply.status_code == 200, reply.text
    assert reply.json()["limner"]["operation"] == "inpaint"
    picture = pixels(reply.json()["data"][0]["b64_json"])
    kept = np.asarray(mask) == 0
    assert np.array_equal(picture[kept], np.asarray(source, float)[kept])
    assert is_white(patch(picture, 0.5, 0.5))
