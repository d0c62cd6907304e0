"""Judges whether a picture shows a scene, by measuring and redrawing; no network, nothing learnt.

The background is fitted and subtracted. What is left is cut out, and every kind the model knows is redrawn over the
fitted background at the place and size found: the expected kind must come closest of all, and close enough. Colours are
the nearest names to what is measured. Owns no prompts.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from training.palette import BACKGROUNDS, COLORS, Rgb, distance
from training.redrawing import FAINT, Field, apart, cut, cutout, kind_errors
from training.render import Picture, draw_background, render
from training.scenes import EXTENTS, POSITIONS, Background, Scene, Thing

Mask = NDArray[np.bool_]

SEEN = 58.0
"""Distance from the background, in RGB, from which a pixel counts as part of a thing."""
WRONG = 90.0
"""Distance in RGB from which a colour without a name is another one."""
SLIVER = 0.018
"""Share of the picture's side below which something is a soft edge or a speck, not a thing."""
LOOSEST_FIT = 0.14
"""Largest misfit between what is shown and its redrawing that still passes; 0 is equal, 1 as wrong as nothing."""
REACH = 0.3
"""How far faint parts (leaves on grass) may be from what stands out, as a share of the thing's side."""
TIE = 0.01
"""Difference in misfit that decides nothing (a brown trunk on a brown stripe)."""
LEAST_SHARE = 0.0025
"""Components smaller than this share of the picture are dust (stars, specks)."""
FADED = {"sun": ("circle", "hexagon")}
"""What may fit better than a kind whose tips are faint; a disc without rays is .18 away from a sun."""
STAR: Rgb = (250, 245, 210)

Verdict = dict[str, bool]


@dataclass(frozen=True, slots=True)
class Found:
    """A thing found in a picture: box in fractions of width and height, fit of the expected kind, best kind, colour."""

    box: tuple[float, float, float, float]
    error: float
    kind: str
    color_fits: bool

    @property
    def center(self) -> tuple[float, float]:
        """The middle of the box."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


def grow(mask: Mask, size: int) -> Mask:
    """Grow a mask with a square of `size` pixels."""
    return np.asarray(Image.fromarray(mask.astype(np.uint8)).filter(ImageFilter.MaxFilter(size))) > 0


def seen(picture: Picture, empty: Picture, threshold: float = SEEN) -> Mask:
    """Return where a picture differs from its background, without slivers such as soft edges of the background."""
    size = max(3, round(SLIVER * min(picture.shape[:2])) | 1)
    raw = apart(picture, empty) > threshold
    core = ~grow(~raw, size)
    return raw & grow(core, 2 * size - 1)


def apart_nearby(picture: Picture, other: Picture) -> Field:
    """Return the RGB distance of each pixel from the range of colours that `other` has within two pixels of it."""
    image = Image.fromarray(other)
    darkest, brightest = (np.asarray(image.filter(kind(5))) for kind in (ImageFilter.MinFilter, ImageFilter.MaxFilter))
    return apart(picture, np.clip(picture, darkest, brightest))


def nearest(color: Rgb, names: dict[str, Rgb] = BACKGROUNDS) -> str:
    """Return the name nearest to a measured colour."""
    return min(names, key=lambda name: distance(names[name], color))


def frame(picture: Picture) -> Mask:
    """Return the outermost 3 % of the picture's pixels on each side."""
    height, width = picture.shape[:2]
    margin = max(2, round(0.03 * min(height, width)))
    mask = np.ones((height, width), bool)
    mask[margin:-margin, margin:-margin] = False
    return mask


def fit_background(picture: Picture, wanted: Background) -> tuple[Picture, bool]:
    """Return the picture's background redrawn without things, and whether it is the wanted one."""
    height, width = picture.shape[:2]
    edge = frame(picture)
    if wanted.pattern == "plain":
        red, green, blue = (int(v) for v in np.median(picture[edge], 0))
        flat = np.broadcast_to(np.array([red, green, blue], np.uint8), picture.shape)
        even = float((apart(picture, flat)[edge] < SEEN).mean()) > 0.9
        return flat, even and nearest((red, green, blue)) == wanted.color
    candidates = [bare(option, width, height) for option in options(wanted)]
    distances = [apart(picture, candidate) for candidate in candidates]
    best = min(range(len(candidates)), key=lambda i: float(np.minimum(distances[i], 120).mean()))
    close = float((distances[best][edge] < 75).mean()) > 0.8 and float((distances[best] < 75).mean()) > 0.5
    return candidates[best], close


def options(wanted: Background) -> list[Background]:
    """Return the variations of a patterned background that its description leaves open."""
    if wanted.pattern == "land":
        horizons = np.linspace(0.57, 0.67, 11) if wanted.ground else (0.6,)
        return [replace(wanted, horizon=float(h)) for h in horizons]
    swapped = replace(wanted, color=wanted.color2, rgb=wanted.rgb2, color2=wanted.color, rgb2=wanted.rgb)
    named = [replace(b, rgb=BACKGROUNDS[b.color], rgb2=BACKGROUNDS[b.color2]) for b in (wanted, swapped)]
    return [replace(b, upright=u, cells=c) for b in named for u in (True, False) for c in (4, 8)]


def bare(background: Background, width: int, height: int) -> Picture:
    """Return a background drawn without stars: what three layouts of stars have in common."""
    variants = range(3) if background.pattern == "land" and background.sky == "night" else (0,)
    drawn = [np.asarray(draw_background(replace(background, variant=v), width, height)) for v in variants]
    darkest: Picture = np.minimum.reduce(drawn)
    return darkest


def without_stars(picture: Picture) -> Picture:
    """Return the picture with small pale specks taken out by a median filter, wherever they are."""
    smooth = np.asarray(Image.fromarray(picture).filter(ImageFilter.MedianFilter(9)))
    pale = apart(picture, np.broadcast_to(np.array(STAR, np.uint8), picture.shape)) < 150
    speck = pale & (apart(picture, smooth) > SEEN)
    return np.where(speck[..., None], smooth, picture).astype(np.uint8)


def components(mask: Mask) -> list[Mask]:
    """Return the connected parts of a mask that are larger than dust, found on a grid of 64 cells a side."""
    height, width = mask.shape
    coarse = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize((64, 64), Image.Resampling.BOX)) > 70
    labels = np.zeros((64, 64), int)
    found = []
    for start in zip(*np.nonzero(coarse), strict=True):
        if labels[start]:
            continue
        label, stack = labels.max() + 1, [start]
        labels[start] = label
        while stack:
            y, x = stack.pop()
            for ny, nx in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= ny < 64 and 0 <= nx < 64 and coarse[ny, nx] and not labels[ny, nx]:
                    labels[ny, nx] = label
                    stack.append((ny, nx))
        part = labels == label
        grown = np.pad(part, 1)
        near = grown[:-2, 1:-1] | grown[2:, 1:-1] | grown[1:-1, :-2] | grown[1:-1, 2:] | part
        if part.mean() >= LEAST_SHARE:
            whole = Image.fromarray(near.astype(np.uint8) * 255).resize((width, height), Image.Resampling.NEAREST)
            found.append(np.asarray(whole) > 0)
    return found


def bounds(mask: Mask) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of a mask in pixels, right and bottom exclusive; specks on the edge ignored."""
    columns, rows = np.nonzero(mask.sum(0) >= 2)[0], np.nonzero(mask.sum(1) >= 2)[0]
    if not len(columns) or not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def find(picture: Picture, empty: Picture, region: Mask, wanted: Thing) -> Found | None:
    """Look for `wanted` in a region of the picture; None when the region shows nothing."""
    mask = seen(picture, empty) & region
    if mask.mean() < LEAST_SHARE:
        return None
    mask = seen(picture, empty, FAINT) & region
    left, top, right, bottom = bounds(mask)
    side = max(right - left, bottom - top) * 1.24
    if side < 8:
        return None
    middle = ((left + right) / 2, (top + bottom) / 2)
    crop = (middle[0] - side / 2, middle[1] - side / 2, middle[0] + side / 2, middle[1] + side / 2)
    around = grow(mask, round(REACH * side) | 1) & region
    visible = np.where(around[..., None], picture, empty).astype(np.uint8)
    rgb, fits = main_color(picture[mask], wanted)
    errors = kind_errors(cutout(cut(visible, crop), cut(empty, crop)), rgb)
    best = min(errors, key=lambda kind: errors[kind] - TIE * (kind == wanted.kind))
    height, width = mask.shape
    return Found((left / width, top / height, right / width, bottom / height), errors[wanted.kind], best, fits)


def main_color(pixels: Picture, wanted: Thing) -> tuple[Rgb, bool]:
    """Return the colour to redraw with, and whether it is the wanted one: by name, or nearly equal without a name."""
    names = list(COLORS)
    table = np.array([COLORS[name] for name in names], np.float32)
    squares = ((pixels[:, None].astype(np.float32) - table[None]) ** 2).sum(-1)
    shares = np.bincount(squares.argmin(1), minlength=len(names)) / len(pixels)
    common = names[int(shares.argmax())]
    name = wanted.color if wanted.color and shares[names.index(wanted.color)] > 0.22 else common
    chosen = pixels[squares.argmin(1) == names.index(name)]
    red, green, blue = (int(v) for v in np.median(chosen, 0))
    fits = name == wanted.color if wanted.color else distance((red, green, blue), wanted.rgb) < WRONG
    return (red, green, blue), fits


def judge(picture: Picture, scene: Scene) -> Verdict:
    """Return what is right about `picture` as a picture of `scene`, by attribute; "all" is their conjunction."""
    if scene.background.pattern == "land" and scene.background.sky == "night":
        picture = without_stars(picture)
    empty, background = fit_background(picture, scene.background)
    verdict: Verdict = {"background": background}
    match scene.form:
        case "one":
            verdict |= judge_one(picture, empty, scene)
        case "two" if scene.relation == "inside":
            verdict |= judge_inside(picture, empty, scene)
        case "two":
            verdict |= judge_places(picture, empty, scene)
            verdict["relation"] = verdict.pop("places")
        case "many" | "three":
            verdict |= judge_places(picture, empty, scene)
            verdict["count"] = verdict.pop("places")
        case "land":
            verdict |= judge_land(picture, empty, scene)
        case "empty":
            verdict["nothing"] = not components(seen(picture, empty))
    verdict["all"] = all(verdict.values())
    return verdict


def passes(found: Found | None, wanted: Thing) -> bool:
    """Tell whether a thing was found and is of the wanted kind."""
    if found is None or found.error > LOOSEST_FIT:
        return False
    return found.kind == wanted.kind or found.kind in FADED.get(wanted.kind, ())


def judge_one(picture: Picture, empty: Picture, scene: Scene) -> Verdict:
    """Judge kind, colour, place and size of a single thing."""
    wanted = scene.things[0]
    found = find(picture, empty, np.ones(picture.shape[:2], bool), wanted)
    if found is None:
        return {"kind": False, "color": False, "position": False, "size": False}
    truth = expected_box(scene, picture.shape)
    x, y = found.center
    place = abs(x - (truth[0] + truth[2]) / 2) < 0.1 and abs(y - (truth[1] + truth[3]) / 2) < 0.1
    ratio = max(found.box[2] - found.box[0], found.box[3] - found.box[1]) / max(
        truth[2] - truth[0], truth[3] - truth[1]
    )
    return {"kind": passes(found, wanted), "color": found.color_fits, "position": place, "size": 0.75 < ratio < 1.33}


def expected_box(scene: Scene, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Return where the thing of a single-thing scene would be seen, in fractions of width and height."""
    height, width = shape[:2]
    thing = scene.things[0]
    ideal = thing
    if scene.position in POSITIONS:
        x, y = POSITIONS[scene.position]
        ideal = replace(thing, x=x, y=y, extent=EXTENTS[thing.size])
    alone = render(replace(scene, things=(ideal,)), width, height)
    left, top, right, bottom = bounds(seen(alone, render(replace(scene, things=()), width, height), FAINT))
    return left / width, top / height, right / width, bottom / height


def judge_places(picture: Picture, empty: Picture, scene: Scene) -> Verdict:
    """Judge several things, each in its own part of the picture: halves, thirds or quarters."""
    height, width = picture.shape[:2]
    ys, xs = np.mgrid[0:height, 0:width]
    owner = np.argmin([(xs / width - t.x) ** 2 + (ys / height - t.y) ** 2 - t.extent**2 for t in scene.things], 0)
    found = [find(picture, empty, owner == i, thing) for i, thing in enumerate(scene.things)]
    pairs = list(zip(found, scene.things, strict=True))
    return {
        "kind": all(passes(f, t) for f, t in pairs),
        "color": all(f is not None and f.color_fits for f, _ in pairs),
        "places": all(
            f is not None and abs(f.center[0] - t.x) < 0.12 and abs(f.center[1] - t.y) < 0.14 for f, t in pairs
        ),
    }


def judge_inside(picture: Picture, empty: Picture, scene: Scene) -> Verdict:
    """Judge a thing inside another: the outer one by its outline, the inner one against the outer one's colour."""
    outer, inner = scene.things
    everywhere = np.ones(picture.shape[:2], bool)
    silhouette = seen(picture, empty)
    left, top, right, bottom = bounds(silhouette)
    ys, xs = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]]
    reach = 0.275 * max(1, min(right - left, bottom - top))
    core = np.hypot(xs - (left + right) / 2, ys - (top + bottom) / 2) < reach
    rim = picture[silhouette & ~core]
    if len(rim) < 30 or not core.any():
        return {"kind": False, "color": False, "relation": False}
    rgb, outer_color = main_color(rim, outer)
    plain_outer = np.where((silhouette | core)[..., None], np.array(rgb, np.uint8), empty).astype(np.uint8)
    found_outer = find(plain_outer, empty, everywhere, outer)
    found_inner = find(picture, np.broadcast_to(np.array(rgb, np.uint8), picture.shape), core, inner)
    return {
        "kind": passes(found_outer, outer) and passes(found_inner, inner),
        "color": outer_color and found_inner is not None and found_inner.color_fits,
        "relation": found_inner is not None,
    }


def judge_land(picture: Picture, empty: Picture, scene: Scene) -> Verdict:
    """Judge a landscape: the thing on the ground and the thing in the sky, nothing else."""
    mask = seen(picture, empty)
    parts = components(mask)
    height, width = picture.shape[:2]
    above, below = np.zeros((height, width), bool), np.zeros((height, width), bool)
    for part in parts:
        left, top, right, bottom = bounds(part & mask)
        in_corner = (top + bottom) / 2 < 0.34 * height and abs((left + right) / 2 - width / 2) > 0.15 * width
        (above if in_corner and (bottom - top) < 0.4 * height else below)[part] = True
    sky = [t for t in scene.things if not t.color]
    ground = [t for t in scene.things if t.color]
    verdict = {"sky": not above.any(), "kind": not below.any(), "color": True}
    if sky:
        found = find(picture, empty, above, sky[0])
        verdict["sky"] = found is not None and passes(found, sky[0]) and found.color_fits
    if len(ground) == 1:
        found = find(picture, empty, ~above, ground[0])
        verdict["kind"] = passes(found, ground[0])
        verdict["color"] = found is not None and found.color_fits
    return verdict
