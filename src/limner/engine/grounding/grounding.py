"""A model that finds things by words, from its source to masks.

Owns loading by what config.json says, and the errors for words that name nothing, or everything. Not for several
threads at once.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Self

import PIL.Image
import torch

from limner.core import Picture
from limner.engine.devices import resolve
from limner.engine.failures import is_out_of_memory
from limner.engine.grounding.finders import LOADERS, Finder
from limner.engine.grounding.masks import LEAST, MOST, mask_of, share
from limner.engine.grounding.snapping import snapped
from limner.engine.grounding.world import has_named_color, require_known
from limner.engine.load import be_quiet, explain
from limner.engine.pictures import opaque, picture_of
from limner.engine.probe import embedded_path, weights_revision
from limner.engine.sample import EMBEDDED_PREFIX, EngineSettings, ModelSource
from limner.errors import InternalError, InvalidRequest, LimnerError, MissingParameter, RegionIsAll, RegionNotFound

log = logging.getLogger(__name__)

REGION = "region"
_SHOWN_CHARS = 100


class Grounding:
    """A loaded model; ``revision`` identifies its weights."""

    def __init__(self, finder: Finder, revision: str, *, embedded: bool = False) -> None:
        self._finder = finder
        self._embedded = embedded
        self.revision = revision

    @classmethod
    def load(cls, source: str, device: str = "auto") -> Self:
        """From "embedded:NAME", a directory or a Hugging Face id, on ``device`` (as in `EngineSettings`). Blocks; may
        download. Raises InvalidRequest for what is no such model, NotReady where a hub cannot be reached."""
        place = str(embedded_path(source)) if source.startswith(EMBEDDED_PREFIX) else str(Path(source).expanduser())
        name = resolve(EngineSettings(device=device)).name
        be_quiet()
        try:
            architecture, commit = _architecture(place)
            finder = _loader(architecture, source)(place, name)
        except LimnerError:
            raise
        except Exception as error:
            raise explain(ModelSource(source, source), error) from error
        revision = weights_revision(Path(place)) if Path(place).is_dir() else commit[:12]
        return cls(finder, revision, embedded=source.startswith(EMBEDDED_PREFIX))

    def mask(self, picture: Picture, words: str) -> Picture:
        """Where in ``picture`` is what ``words`` name: mode L, the same size, 255 there and 0 elsewhere, soft at the
        edge. Raises RegionNotFound where nothing of it was found, RegionIsAll where it would be everything."""
        if not words.strip():
            raise MissingParameter(f"Missing required parameter: {REGION!r} (say what is to be found)", param=REGION)
        if self._embedded:
            require_known(words)
        image = opaque(picture)
        mask = mask_of(snapped(self._scores(image, words), image), picture.size)
        covered = share(mask)
        log.debug("found on %.1f %% of a picture of %s", 100 * covered, picture.size)
        if covered < LEAST or (self._embedded and not has_named_color(words, image, mask)):
            raise RegionNotFound(f"Nothing of {_shown(words)} was found in the picture", param=REGION)
        if covered > MOST:
            message = f"{_shown(words)} would be the whole picture; name a part of it, or ask for 'edit'"
            raise RegionIsAll(message, param=REGION)
        return picture_of(mask)

    def _scores(self, image: PIL.Image.Image, words: str) -> PIL.Image.Image:
        try:
            with torch.inference_mode():
                return self._finder.scores(image, words)
        except Exception as error:
            if is_out_of_memory(error):
                raise InternalError("not enough memory to look at a picture of this size") from error
            raise


def _loader(architecture: str, source: str) -> Callable[[str, str], Finder]:
    if architecture not in LOADERS:
        message = f"{source} is a {architecture}, which finds nothing by words. Allowed: {', '.join(LOADERS)}"
        raise InvalidRequest(message, param="model")
    return LOADERS[architecture]


def _architecture(place: str) -> tuple[str, str]:
    """What config.json calls the model's class, and a hub's commit ("" for what is on this machine)."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(place)
    names = config.architectures or [type(config).__name__]
    return str(names[0]), str(getattr(config, "_commit_hash", None) or "")


def _shown(words: str) -> str:
    return repr(words if len(words) <= _SHOWN_CHARS else f"{words[:_SHOWN_CHARS]}...")
