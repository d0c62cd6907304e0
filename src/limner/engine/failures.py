"""What went wrong inside the engine, in limner's terms.

Owns the translation of foreign exceptions; whoever catches one calls this.
"""

import logging
import traceback

import torch

from limner.errors import InternalError, InvalidRequest, LimnerError

log = logging.getLogger(__name__)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, or the machine, had no room."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def let_go(error: BaseException | None) -> None:
    """Free what the frames hold that ``error``, its causes and what it came up beside passed through: tensors."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def to_limner_error(error: BaseException, pipeline: str, *, began: bool) -> LimnerError:
    """The error to report for one sample. ``began`` says whether its denoising had begun: a ValueError before that is
    the pipeline's own check of its arguments, and so the request's fault."""
    if isinstance(error, LimnerError):
        return error
    if is_out_of_memory(error):
        return InternalError("not enough memory for a picture of this size")
    if isinstance(error, ValueError) and not began:
        return InvalidRequest(f"{pipeline} refused the request: {_first_line(error)}")
    log.error("%s failed", pipeline, exc_info=error)
    return InternalError(f"{pipeline} failed: {type(error).__name__}")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
