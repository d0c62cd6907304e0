"""What a finished picture needs of the file that it is put into.

Owns the checks of a request's output against its operation; encoding itself has no say here.
"""

from limner.core import Operation, Request
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
