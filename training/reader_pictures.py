"""Pictures for the reader and the grounder: scenes drawn well and badly, and pictures that are no scenes at all.

Everything comes from a random.Random; nothing is read but shards of sketch's own pictures (`drawn.py`).
"""

import io
import random
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from training import heldout
from training.edits import sample_edit
from training.palette import BACKGROUNDS, pick_color
from training.reader_words import ASIDE, LARGE, SMALL
from training.render import Picture, render
from training.scenes import KINDS, SHAPES, Scene, Thing, make_thing, plain, propose_background, sample_scene

SHAPES_PX = ((192, 128), (128, 192), (160, 128), (128, 160), (224, 128), (128, 224))
"""Width and height of the pictures that are not square."""


def sample_seen(rng: random.Random) -> Scene:
    """Draw a scene as somebody may show it: mostly from sketch's training, some edited, some laid out freely, some a
    single shape, and half of all at other sizes and places than sketch's.

    Combinations held out for the evaluation are drawn again.
    """
    while True:
        draw = rng.random()
        if draw < 0.15:
            scene = anywhere(rng, sample_shape(rng))
        elif draw < 0.8:
            scene = sample_scene(rng)
        else:
            scene = sample_edit(rng).target if draw < 0.92 else sample_free(rng)
        if 0.15 <= draw < 0.8 or not heldout.is_held_out(scene):
            return anywhere(rng, scene) if rng.random() < 0.5 else scene


def sample_shape(rng: random.Random) -> Scene:
    """Draw a single shape on one colour: circles and hexagons most often, which are told apart last."""
    background = plain(rng, rng.choice(list(BACKGROUNDS)))
    kind = rng.choice((*SHAPES, "circle", "circle", "hexagon", "hexagon"))
    thing = make_thing(rng, kind, pick_color(rng, background.behind), (0.5, 0.5), behind=background.behind)
    return Scene("one", background, (thing,))


def anywhere(rng: random.Random, scene: Scene) -> Scene:
    """Return `scene` with a single thing at any size and place, several nearer or farther; landscapes as they are.

    Sizes and places that might be called one thing or another are drawn again. Learnt at sketch's three sizes alone, a
    circle of another size was read as a hexagon.
    """
    if scene.background.pattern == "land" or not scene.things:
        return scene
    while True:
        things = (placed(rng, scene.things[0]),) if len(scene.things) == 1 else zoomed(rng, scene.things)
        if all(is_clear(thing) for thing in things):
            return replace(scene, things=things)


def placed(rng: random.Random, thing: Thing) -> Thing:
    """Return a thing at any size, in the middle or anywhere that it fits."""
    extent = rng.uniform(0.08, 0.46)
    reach = min(1.15 * extent, 0.5)
    x, y = (0.5 if rng.random() < 0.4 else rng.uniform(reach, 1 - reach) for _ in range(2))
    return replace(thing, x=x, y=y, extent=extent)


def zoomed(rng: random.Random, things: tuple[Thing, ...]) -> tuple[Thing, ...]:
    """Return things as from nearer or farther away."""
    scale = rng.uniform(0.65, 1.1)
    return tuple(
        replace(thing, x=0.5 + scale * (thing.x - 0.5), y=0.5 + scale * (thing.y - 0.5), extent=scale * thing.extent)
        for thing in things
    )


def is_clear(thing: Thing) -> bool:
    """Tell whether size and place are not on the border between two words."""
    sized = abs(thing.extent - SMALL) > 0.01 and abs(thing.extent - LARGE) > 0.015
    return sized and all(abs(abs(at - 0.5) - ASIDE) > 0.015 for at in (thing.x, thing.y))


def sample_free(rng: random.Random) -> Scene:
    """Draw one to four things of any size in cells of a loose grid."""
    background = propose_background(rng)
    cells = rng.sample([(x, y) for x in (0.22, 0.5, 0.78) for y in (0.24, 0.5, 0.76)], rng.choice((1, 2, 2, 3, 3, 4)))
    things: list[Thing] = []
    for x, y in cells:
        kind, color = rng.choice(KINDS), pick_color(rng, background.behind)
        if things and rng.random() < 0.35:
            kind, color = things[-1].kind, things[-1].color
        place = (x + rng.uniform(-0.03, 0.03), y + rng.uniform(-0.03, 0.03))
        extent = rng.uniform(0.09, 0.13) if len(cells) > 1 else rng.choice((0.1, 0.12, 0.2, 0.25, 0.38))
        things.append(make_thing(rng, kind, color, place, extent=extent, behind=background.behind))
    return Scene("three" if len(things) > 1 else "one", background, tuple(things), position="")


def sample_size(rng: random.Random, base_px: int) -> tuple[int, int]:
    """Draw width and height for a picture that will be read at `base_px`."""
    draw = rng.random()
    if draw < 0.72:
        return base_px, base_px
    if draw < 0.8:
        return base_px * 3 // 2, base_px * 3 // 2
    width, height = rng.choice(SHAPES_PX)
    return width * base_px // 128, height * base_px // 128


def degrade(picture: Picture, rng: random.Random) -> Picture:
    """Return the picture as an unsteady hand or a bad copy would leave it; one in four stays as it is."""
    if rng.random() < 0.25:
        return picture
    return copy_badly(wobble(picture, rng) if rng.random() < 0.45 else picture, rng)


def copy_badly(picture: Picture, rng: random.Random) -> Picture:
    """Return the picture blurred, scaled, recompressed, shaded or none of these; no outline moves."""
    image = Image.fromarray(picture)
    if rng.random() < 0.35:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.1)))
    if rng.random() < 0.25:
        share = rng.uniform(0.5, 0.95)
        small = image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.BILINEAR)
        image = small.resize(image.size, rng.choice((Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)))
    if rng.random() < 0.35:
        image = recompress(image, rng.randint(25, 90))
    found = np.asarray(image)
    return shade(found, rng) if rng.random() < 0.5 else found


def recompress(image: Image.Image, quality: int) -> Image.Image:
    """Return the image after one round of JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def shade(picture: Picture, rng: random.Random) -> Picture:
    """Return the picture with a slight change of brightness and tint, and noise."""
    local = np.random.default_rng(rng.getrandbits(32))
    gain = 1 + local.uniform(-0.03, 0.03, 3)
    noise = local.normal(0, rng.uniform(0, 6), picture.shape)
    return np.clip(picture * gain + local.uniform(-5, 5) + noise, 0, 255).astype(np.uint8)


def wobble(picture: Picture, rng: random.Random) -> Picture:
    """Return the picture, (H, W, channels), with outlines that wander by about 1 % of its side."""
    height, width = picture.shape[:2]
    local = np.random.default_rng(rng.getrandbits(32))
    cells, strength = rng.choice((5, 8, 14)), rng.uniform(0.003, 0.011) * min(width, height)
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    columns = np.clip(xs + field(local, cells, width, height) * strength, 0, width - 1).round().astype(int)
    rows = np.clip(ys + field(local, cells, width, height) * strength, 0, height - 1).round().astype(int)
    moved: Picture = picture[rows, columns]
    return moved


def field(local: np.random.Generator, cells: int, width: int, height: int) -> NDArray[np.float32]:
    """Return smooth noise of about unit strength, (height, width)."""
    coarse = Image.fromarray(local.normal(0, 1.3, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def on_transparency(picture: Picture, scene: Scene, rng: random.Random) -> Picture:
    """Return a picture on plain white as image viewers show a transparent one: on a fine, pale checkerboard."""
    height, width = picture.shape[:2]
    cell = rng.choice((4, 6, 8))
    odd = (np.mgrid[0:height, 0:width] // cell).sum(0) % 2
    pale = np.array([[255] * 3, [rng.randint(205, 238)] * 3], np.uint8)[odd]
    empty = np.array(scene.background.rgb, np.uint8)
    return np.where((picture == empty).all(-1, keepdims=True), pale, picture).astype(np.uint8)


def foreign_picture(rng: random.Random, width: int, height: int) -> Picture:
    """Return a picture that is no scene: noise, clouds of colour, polygons, lines, writing, textures."""
    local = np.random.default_rng(rng.getrandbits(32))
    kind = rng.choice(("noise", "clouds", "polygons", "lines", "writing", "texture", "photo", "photo"))
    match kind:
        case "noise":
            level = rng.choice((20, 60, 128))
            return np.clip(local.normal(local.uniform(60, 200, 3), level, (height, width, 3)), 0, 255).astype(np.uint8)
        case "clouds":
            return clouds(local, rng.choice((3, 4, 6, 10)), width, height)
        case "texture":
            return texture(local, width, height)
        case "photo":
            return photo(local, rng, width, height)
        case _:
            return scrawl(kind, local, rng, width, height)


def clouds(local: np.random.Generator, cells: int, width: int, height: int) -> Picture:
    """Return smooth clouds of random colours."""
    coarse = Image.fromarray(local.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def texture(local: np.random.Generator, width: int, height: int) -> Picture:
    """Return waves of several directions in two random colours."""
    ys, xs = np.mgrid[0:height, 0:width] / min(width, height)
    waves = sum(np.sin(xs * a + ys * b + c) for a, b, c in local.uniform(-60, 60, (int(local.integers(2, 5)), 3)))
    share = (np.asarray(waves)[..., None] / 4 + 0.5).clip(0, 1)
    mixed: Picture = (local.integers(0, 256, 3) * share + local.integers(0, 256, 3) * (1 - share)).astype(np.uint8)
    return mixed


def photo(local: np.random.Generator, rng: random.Random, width: int, height: int) -> Picture:
    """Return what a photograph has: light and shadow over several scales, blurred masses, grain."""
    base = sum(
        clouds(local, cells, width, height).astype(np.float32) / weight
        for cells, weight in ((3, 2.0), (7, 4.0), (15, 8.0), (40, 10.0))
    )
    image = Image.fromarray(np.clip(np.asarray(base), 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.randint(0, 5)):
        x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(5, 60)
        pen.ellipse((x - r, y - r * rng.uniform(0.4, 1.8), x + r, y + r), fill=random_rgb(rng))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 3)))
    tint = local.uniform(0.5, 1.1, 3)
    grain = local.normal(0, rng.uniform(1, 9), (height, width, 3))
    return np.clip(np.asarray(image) * tint + grain, 0, 255).astype(np.uint8)


def scrawl(kind: str, local: np.random.Generator, rng: random.Random, width: int, height: int) -> Picture:
    """Return many polygons, lines or words over a plain or cloudy ground."""
    plain = np.broadcast_to(np.array(random_rgb(rng), np.uint8), (height, width, 3))
    image = Image.fromarray(np.array(plain if rng.random() < 0.6 else clouds(local, 4, width, height)))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.randint(5, 16)):
        points = [(rng.uniform(0, width), rng.uniform(0, height)) for _ in range(rng.randint(3, 6))]
        if kind == "polygons":
            pen.polygon(points, fill=random_rgb(rng))
        elif kind == "lines":
            pen.line(points, fill=random_rgb(rng), width=rng.randint(1, 5))
        else:
            letters = "".join(rng.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL 0123456789") for _ in range(14))
            font = ImageFont.load_default(rng.choice((9, 12, 18, 28)))
            pen.text((points[0][0] * 0.5, points[0][1]), letters, fill=random_rgb(rng), font=font)
    return np.asarray(image)


def random_rgb(rng: random.Random) -> tuple[int, int, int]:
    """Draw a colour, named or not."""
    if rng.random() < 0.4:
        return rng.choice(list(BACKGROUNDS.values()))
    return rng.randint(0, 255), rng.randint(0, 255), rng.randint(0, 255)


def seen_picture(rng: random.Random, base_px: int) -> tuple[Picture, Scene | None]:
    """Draw one picture and its scene; None for a picture that is no scene (one in nine)."""
    width, height = sample_size(rng, base_px)
    if rng.random() < 0.11:
        return foreign_picture(rng, width, height), None
    scene = sample_seen(rng)
    picture = render(scene, width, height)
    background = scene.background
    if background.pattern == "plain" and background.color == "white" and rng.random() < 0.08:
        picture = on_transparency(picture, scene, rng)
    return degrade(picture, rng), scene
