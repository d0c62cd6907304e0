"""Routes that each do one thing to a picture: ``/v1/images/outpaint``, ``/v1/images/upscale``, ... and OpenAI's
``/v1/images/variations``.

Owns which route stands for which operation. Fields, pictures and replies are those of ``/v1/images/edits``; what each
operation is told beside them are parameters of the model.
"""

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.asking import read_operation
from limner.api.direct import DirectRoute
from limner.api.openai.routes import answer
from limner.api.operations import docs
from limner.core import Operation

router = APIRouter(tags=["Operations"], route_class=DirectRoute)


@router.post("/v1/images/variations", openapi_extra=docs.VARIATIONS)
async def variations(http: HttpRequest) -> Response:
    """Draw other pictures like one."""
    return await _answer(http, Operation.VARY)


@router.post("/v1/images/outpaint", openapi_extra=docs.OUTPAINT)
async def outpaint(http: HttpRequest) -> Response:
    """Extend a picture beyond its sides; a prompt may say with what."""
    return await _answer(http, Operation.OUTPAINT)


@router.post("/v1/images/region-edit", openapi_extra=docs.REGION_EDIT)
async def region_edit(http: HttpRequest) -> Response:
    """Change what the words of ``region`` name into what the prompt says, and nothing else."""
    return await _answer(http, Operation.REGION_EDIT)


@router.post("/v1/images/remove-background", openapi_extra=docs.REMOVE_BACKGROUND)
async def remove_background(http: HttpRequest) -> Response:
    """Cut out a picture's subject; what is behind it becomes transparent."""
    return await _answer(http, Operation.REMOVE_BACKGROUND)


@router.post("/v1/images/upscale", openapi_extra=docs.UPSCALE)
async def upscale(http: HttpRequest) -> Response:
    """Make a picture larger."""
    return await _answer(http, Operation.UPSCALE)


@router.post("/v1/images/describe", openapi_extra=docs.DESCRIBE)
async def describe(http: HttpRequest) -> Response:
    """Say in words what is in pictures, or answer a question about them."""
    return await _answer(http, Operation.DESCRIBE)


async def _answer(http: HttpRequest, operation: Operation) -> Response:
    try:
        return await answer(http, await read_operation(http, operation))
    finally:
        await http.close()  # the uploads' temporary files
