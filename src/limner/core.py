"""The nouns of limner: what a request is, what happens to it and what comes out.

Owns plain immutable values only. Knows no wire format, no model, no torch; everything else may import it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Self, TypeAlias


class Operation(StrEnum):
    """What is asked for; every model says which of these it can do."""

    GENERATE = "generate"
    EDIT = "edit"
    INPAINT = "inpaint"
    OUTPAINT = "outpaint"
    REGION_EDIT = "region_edit"
    REMOVE_BACKGROUND = "remove_background"
    UPSCALE = "upscale"
    VARY = "vary"
    DESCRIBE = "describe"


@dataclass(frozen=True, slots=True)
class Size:
    """A picture's extent in pixels."""

    width_px: int
    height_px: int

    @property
    def pixels(self) -> int:
        """Area in pixels."""
        return self.width_px * self.height_px

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``"WIDTHxHEIGHT"`` (decimal digits, both positive); raises ValueError otherwise."""
        width, separator, height = text.strip().lower().partition("x")
        if not (separator and width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
            raise ValueError(f"not a size: {text!r}")
        if len(width) > 6 or len(height) > 6 or not int(width) or not int(height):
            raise ValueError(f"not a size: {text!r}")
        return cls(int(width), int(height))

    def __str__(self) -> str:
        return f"{self.width_px}x{self.height_px}"


PixelMode = Literal["RGB", "RGBA", "L"]


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Picture:
    """Decoded pixels: 8 bits a channel, rows top to bottom, no padding and no metadata.

    ``pixels`` holds width x height x channels bytes (RGB 3, RGBA 4, L 1), as ``PIL.Image.tobytes`` gives them.
    """

    mode: PixelMode
    size: Size
    pixels: bytes = field(repr=False)

    def __post_init__(self) -> None:
        channels = len(self.mode)
        assert len(self.pixels) == self.size.pixels * channels, "pixels do not match the size"


ImageFormat = Literal["png", "jpeg", "webp"]
Background = Literal["auto", "opaque", "transparent"]
MAX_EDGE_PX: Mapping[ImageFormat, int] = {"png": 2**31 - 1, "jpeg": 65_500, "webp": 16_383}
"""The longest side that a file of the format holds."""


@dataclass(frozen=True, slots=True)
class Output:
    """How finished pictures are encoded. ``compression`` 0..100 as OpenAI means it: higher is a larger, better file
    for jpeg and webp (their quality); png is lossless and ignores it. None takes the format's default."""

    format: ImageFormat = "png"
    compression: int | None = None
    background: Background = "auto"


@dataclass(frozen=True, slots=True)
class Lora:
    """One low-rank adapter to apply: a Hugging Face id, directory or .safetensors file, and its scale."""

    path: str
    scale: float = 1.0
    name: str | None = None


ParamValue: TypeAlias = bool | int | float | str | tuple[Lora, ...] | None


@dataclass(frozen=True, slots=True)
class Said:
    """Something that was said earlier in a conversation, without its pictures."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Request:
    """One job as every dialect says it. The catalogue's resolver fills what is None and checks the rest.

    ``model`` "" means the server's default. ``inputs`` are source and reference pictures in the order given; ``mask``
    is mode L and as large as the first input, 255 = repaint. ``seed`` is the first picture's, the i-th of ``n`` uses
    ``seed + i``. ``params`` are the model's own parameters (``num_inference_steps``, ``guidance_scale``,
    ``negative_prompt``, ``strength``, ...). ``previews`` (0..3) asks for that many partial pictures per image.
    ``timeout_s`` counts from acceptance. ``owner`` is the API key's id, for fairness ("" = anonymous). ``history`` is
    what was said before ``prompt``, oldest first, for models that answer in words; others never get one.
    """

    operation: Operation
    model: str
    prompt: str
    inputs: tuple[Picture, ...] = ()
    mask: Picture | None = None
    n: int = 1
    size: Size | None = None
    seed: int | None = None
    output: Output = Output()
    params: Mapping[str, ParamValue] = field(default_factory=dict)
    previews: int = 0
    timeout_s: float = 180.0
    owner: str = ""
    history: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True)
class Warning:
    """Something that was asked for and not done as asked: the parameter, a stable code and a sentence."""

    param: str
    code: Literal["forced", "ignored", "adjusted", "unverified"]
    message: str


@dataclass(frozen=True, slots=True)
class Queued:
    """Accepted and waiting. ``position`` 0 is next; ``eta_s`` counts to completion, None while nothing is known."""

    position: int
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Denoising steps done over all pictures of the job, of ``total_steps``."""

    step: int
    total_steps: int

    @property
    def fraction(self) -> float:
        """Share done, 0..1."""
        return self.step / self.total_steps if self.total_steps else 0.0


@dataclass(frozen=True, slots=True)
class Preview:
    """A partial picture: of image ``image_index`` (0..n-1), its ``preview_index``-th (0..previews-1)."""

    image_index: int
    preview_index: int
    picture: Picture


@dataclass(frozen=True, slots=True)
class Words:
    """More of the answer of a model that answers in words: ``text`` follows what came before."""

    text: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a language model read and wrote, in its own tokens; a picture's are among those read."""

    read: int
    written: int


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """A finished picture as a file, from a backend that delivers files; ``data`` is of ``format``."""

    format: ImageFormat
    size: Size
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finished:
    """The job's pictures in seed order; ``model_revision`` names the weights that drew them; timings in seconds.

    ``warnings`` are what only the backend could notice. ``text`` is the whole answer of an operation that answers in
    words, all of which came before as `Words` too; ``tokens`` is what it took.
    """

    pictures: tuple[Picture | EncodedPicture, ...]
    model_revision: str | None = None
    timings_s: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[Warning, ...] = ()
    text: str | None = None
    tokens: Tokens | None = None


Event: TypeAlias = Queued | Progress | Preview | Words | Finished
