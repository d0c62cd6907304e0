"""JSON that carries whole pictures as base64, without running megabytes through a JSON encoder.

Owns that trick: where a picture belongs, a marker is encoded, and the base64 takes its place in the bytes. Base64
needs no escaping in JSON.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pybase64

from limner.jobs import StoredPicture
from limner.media.encode import media_type
from limner.service import Service
from limner.tasks import together


class Embedded:
    """Pictures that a JSON value is to carry; ``text`` stands for one until `in_json` puts it in."""

    def __init__(self, files: Sequence[bytes]) -> None:
        self._files = files
        self._marker = secrets.token_hex(16)

    def text(self, index: int) -> str:
        """What stands for the base64 of picture ``index``."""
        return f"<{self._marker}:{index}>"

    def in_json(self, value: Mapping[str, Any]) -> bytes:
        """``value`` as JSON with every picture in its places."""
        first, *rest = orjson.dumps(value).split(f"<{self._marker}:".encode())
        parts: list[bytes | memoryview] = [first]
        for piece in rest:
            index, _, after = piece.partition(b">")
            parts += [pybase64.b64encode(self._files[int(index)]), after]
        return b"".join(parts)


async def embedded(service: Service, pictures: Sequence[StoredPicture]) -> Embedded:
    """The files of ``pictures``. Raises NotFound once their time is over."""
    return Embedded(await together(service.data_of(picture) for picture in pictures))


def data_url(embedded_files: Embedded, index: int, picture: StoredPicture) -> str:
    """The data: URL of picture ``index``, for `Embedded.in_json`."""
    return f"data:{media_type(picture.format)};base64,{embedded_files.text(index)}"
