"""A model that cuts subjects out, from its source to finished pictures.

Owns what a source means and the translation of what goes wrong. Not for several threads at once.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import PIL.Image

from limner.core import Picture, Warning
from limner.engine.cutting.edges import cut_out
from limner.engine.cutting.guided import along_contours
from limner.engine.cutting.matting import refined
from limner.engine.cutting.sessions import FileSession, NamedSession, Session
from limner.engine.failures import to_limner_error
from limner.engine.pictures import image_of, opaque, picture_of
from limner.engine.probe import weights_revision
from limner.errors import InvalidRequest, LimnerError

SUFFIX = ".onnx"
MATTING = "alpha_matting"
STEPS = 2
_DOING = "removing the background"
_TRIAL = (64, 64)


class Cutting:
    """A loaded model; ``revision`` identifies its weights."""

    def __init__(self, session: Session, revision: str) -> None:
        self._session = session
        self.revision = revision

    @classmethod
    def load(cls, source: str, arguments: Mapping[str, object]) -> Self:
        """``source`` is an .onnx file or rembg's name of a model; ``arguments`` are for files (see `FileSession`).
        Blocks; may download. Tries the model out. Raises InvalidRequest or NotReady with the reason."""
        try:
            session = _session(source, arguments)
            session.alpha(PIL.Image.linear_gradient("L").resize(_TRIAL).convert("RGB"))
        except LimnerError:
            raise
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
            raise InvalidRequest(f"cannot load {source}: {reason}", param="model") from error
        return cls(session, weights_revision(session.file))

    def cut(
        self, picture: Picture, tell: Callable[[int, int], None], *, matting: bool
    ) -> tuple[Picture, tuple[Warning, ...]]:
        """``picture`` without its background, in RGBA, and what there is to warn of. ``tell`` hears of steps done and
        of how many; what it raises ends the work. ``matting`` solves the edge anew."""
        try:
            return self._cut(picture, tell, matting=matting)
        except Exception as error:
            raise to_limner_error(error, _DOING, began=True) from error

    def _cut(
        self, picture: Picture, tell: Callable[[int, int], None], *, matting: bool
    ) -> tuple[Picture, tuple[Warning, ...]]:
        image = opaque(picture)
        alpha = self._session.alpha(image)
        if alpha.getextrema() == (0, 0):
            raise InvalidRequest("No subject was found in the picture", param="image")
        tell(1, STEPS)
        solved = refined(image, alpha) if matting else alpha
        cut = cut_out(picture, picture_of(alpha if solved is None else solved))
        tell(STEPS, STEPS)
        return cut, () if solved is not None else (_UNREFINED,)


def along(picture: Picture, mask: Picture) -> Picture:
    """``picture`` in RGBA, cut out along the contour that it has near a coarse ``mask`` (mode L, the same size)."""
    try:
        return cut_out(picture, picture_of(along_contours(opaque(picture), image_of(mask))))
    except Exception as error:
        raise to_limner_error(error, _DOING, began=True) from error


_UNREFINED = Warning(MATTING, "ignored", f"{MATTING!r} had no effect: no part is surely subject or surely background")


def _session(source: str, arguments: Mapping[str, object]) -> Session:
    if not source.endswith(SUFFIX):
        return NamedSession.load(source)
    file = Path(source).expanduser()
    if not file.is_file():
        raise InvalidRequest(f"there is no file {source!r}", param="model")
    return FileSession.load(file, arguments)
