"""Pictures as clients name them: URLs in every shape the dialects know, and this server's own files.

Owns recognising the server's own pictures (a signed link, the id of a file, or what came with an earlier turn of a
conversation) and reading those from the blob store, without HTTP; every other source is read by `pictures`.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request as HttpRequest

from limner.api.doorkeeper import caller_of
from limner.api.files import owned_image
from limner.api.gateway import Gateway, gateway_of
from limner.api.paths import FILE_ID, INPUT_ID
from limner.api.pictures import Source
from limner.core import Picture, Size
from limner.errors import DeadlineExceeded, Forbidden, LimnerError
from limner.store.rows import ImageRow
from limner.tasks import together

Named = tuple[str, str]  # the parameter that an error names, and the source

_ID = re.compile(FILE_ID)
_INPUT = re.compile(INPUT_ID)
_PATH = re.compile(rf"(.*)/v1/files/({_ID.pattern})(?:\.[a-z]{{3,4}})?", re.ASCII)


async def read_sources(http: HttpRequest, sources: Sequence[Named], limit_s: float) -> tuple[Picture, ...]:
    """Decode all, in order; that may take ``limit_s`` and no longer.

    Raises DeadlineExceeded, and what reading any of them raises: TooLarge, UnsupportedMedia, InvalidRequest, and for
    the server's own pictures Forbidden and NotFound.
    """
    async with within(limit_s):
        return await together(read_source(http, source, param) for param, source in sources)


async def read_source(http: HttpRequest, source: Source, param: str) -> Picture:
    """Decode one: an upload, a data: or http(s) URL, one of the server's own links, or the id of one of its files."""
    gateway = gateway_of(http)
    if not isinstance(source, str):
        return await gateway.pictures.read(source, param)
    came_with = _INPUT.fullmatch(source)
    if came_with is not None:
        return await gateway.pictures.read_own(lambda: _attached(http, came_with, param))
    image = await _own_image(http, source.strip(), param)
    if image is None:
        return await gateway.pictures.read(source, param)
    return await gateway.pictures.read_own(lambda: _drawn(gateway, image))


async def _drawn(gateway: Gateway, image: ImageRow) -> Picture:
    return await gateway.media.restore(await gateway.blobs.get(image.key), Size(image.width_px, image.height_px))


@asynccontextmanager
async def within(limit_s: float) -> AsyncIterator[None]:
    """Bounds reading pictures to ``limit_s``. Raises DeadlineExceeded."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"the input pictures were not read within the timeout of {limit_s:g} s", param="timeout"
        ) from error


async def _attached(http: HttpRequest, name: re.Match[str], param: str) -> Picture:
    """A picture that came with an earlier turn of the caller's; it has no link."""
    caller = caller_of(http)
    caller.require("read")
    try:
        return await gateway_of(http).service.attachment(f"job_{name[1]}", int(name[2]), caller)
    except LimnerError as error:
        error.param = param
        raise


async def _own_image(http: HttpRequest, source: str, param: str) -> ImageRow | None:
    """The row of the server's own picture that ``source`` names; None when it names another's.

    A link opens by its signature; one that has expired, and a bare id, only for the picture's owner.
    """
    gateway = gateway_of(http)
    try:
        if _ID.fullmatch(source):
            return await owned_image(http, source)
        if source[:5].lower() == "data:":
            return None
        link = urlsplit(source[:4096])
        match = _PATH.fullmatch(link.path)
        if match is None:
            return None
        base, image_id = link.netloc + match[1], match[2]
        if _is_signed(gateway, image_id, link.query):
            return await gateway.service.store.image(image_id)
        return await owned_image(http, image_id) if _is_here(http, gateway, base) else None
    except ValueError:  # not even a URL; the reader of foreign sources says so
        return None
    except LimnerError as error:
        error.param = param
        raise


def _is_signed(gateway: Gateway, image_id: str, query: str) -> bool:
    values = {name: found[-1] for name, found in parse_qs(query).items()}
    try:
        gateway.blobs.verify(image_id, values.get("expires", ""), values.get("signature", ""))
    except Forbidden:
        return False
    return True


def _is_here(http: HttpRequest, gateway: Gateway, base: str) -> bool:
    """Whether ``base``, host and path, is where clients find this server; "" is a link without either."""
    own = (urlsplit(url) for url in (str(http.base_url), gateway.settings.public_url or ""))
    return base in {"", *(url.netloc + url.path.rstrip("/") for url in own)}
