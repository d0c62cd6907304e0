"""Models that enlarge without weights."""

from dataclasses import dataclass, field

from PIL import Image


@dataclass
class Lanczos:
    """Resamples what it is given; pixels further from a side than ``scale`` x 6 know nothing of where a tile ended."""

    scale: int = 4
    whole: bool = False
    most_px: int = 100_000
    seen: list[tuple[int, int]] = field(default_factory=list)

    def enlarge(self, image: Image.Image) -> Image.Image:
        assert image.mode == "RGB"
        if max(image.size) > self.most_px:
            raise MemoryError
        self.seen.append(image.size)
        extent = image.width * self.scale, image.height * self.scale
        return image.resize(extent, Image.Resampling.LANCZOS)


@dataclass
class Marked(Lanczos):
    """Spoils the outermost pixels of everything it draws, as a model that has seen no surroundings does."""

    def enlarge(self, image: Image.Image) -> Image.Image:
        drawn = super().enlarge(image)
        rim = 4 * self.scale
        spoilt = Image.new("RGB", drawn.size, "magenta")
        spoilt.paste(drawn.crop((rim, rim, drawn.width - rim, drawn.height - rim)), (rim, rim))
        return spoilt
