"""What a finished picture needs of the file that it is put into.

Owns the checks of a request's output against its operation and size; encoding itself has no say here.
"""

from limner.core import MAX_EDGE_PX, Operation, Request
from limner.errors import InvalidRequest

OPAQUE_FORMATS = ("jpeg",)


def check_output(request: Request) -> None:
    """Raise InvalidRequest where a cut-out would lose its transparency without anybody having asked for that."""
    output = request.output
    if request.operation is not Operation.REMOVE_BACKGROUND or output.background == "opaque":
        return
    if output.format in OPAQUE_FORMATS:
        raise InvalidRequest(
            f"Invalid value for 'output_format': '{output.format}' has no transparency, which removing the background "
            "is for. Allowed: png or webp, or background 'opaque', which puts the subject on white",
            param="output_format",
        )


def check_edges(request: Request) -> None:
    """Raise InvalidRequest where a picture of the settled size would not fit into its file: nobody draws it then."""
    assert request.size is not None, "sizes are settled before their files are chosen"
    image_format = request.output.format
    most = MAX_EDGE_PX[image_format]
    if request.operation is Operation.DESCRIBE or max(request.size.width_px, request.size.height_px) <= most:
        return
    raise InvalidRequest(
        f"Invalid value for 'output_format': '{image_format}' holds sides of at most {most:,} pixels, and the picture "
        f"will be {request.size}. Allowed: png",
        param="output_format",
    )
