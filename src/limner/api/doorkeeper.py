"""The door: which API key a request brings, whether one is needed, and what its scopes let through.

Plain ASGI, inside the exchange. Owns where a key may stand and which paths are public; never touches the body. What a
caller may do beyond the scope of a route (which jobs, which models) is the handlers' business.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote_plus, urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as HttpScope

from limner.accounts import NOBODY, OPEN, Caller, Keyring, Scope
from limner.accounts.keys import prefix_of
from limner.api.envelope import Envelopes
from limner.api.pages import refuse_strange_pages
from limner.errors import LimnerError, Unauthorized

KEY_HEADERS = ("x-api-key", "x-goog-api-key")
QUERY_KEYED = re.compile(r"/v1beta1?/.*|/v1/models/.+:\w+")  # where Google's clients put the key into the query
BASIC_PREFIX = "/sdapi/"  # whose clients know HTTP Basic alone

READING = frozenset({"GET", "HEAD"})
PUBLIC = frozenset({"/", "/health", "/docs", "/openapi.json"})
PUBLIC_PREFIXES = ("/health/", "/docs/static/")
SIGNED_PREFIX = "/v1/files/"  # public with a signature, which the handler verifies
# The scope that a route needs: the first line whose path prefix and method fit.
NEEDED: tuple[tuple[str, frozenset[str] | None, Scope], ...] = (
    ("/metrics", None, "admin"),
    ("", READING, "read"),
    ("", None, "generate"),
)


def caller_of(http: HTTPConnection) -> Caller:
    """Who sends this request: what the doorkeeper put into its scope, or everybody where there is none."""
    caller = http.scope.get("state", {}).get("caller", OPEN)
    assert isinstance(caller, Caller)
    return caller


class Doorkeeper:
    """Puts the caller into the scope, or answers 401 or 403 itself.

    ``keyring_of`` gives the server's keyring and raises NotReady before the app has started. ``public_url`` is where
    browsers find the server, where that is not the host that they name.
    """

    def __init__(
        self,
        app: ASGIApp,
        keyring_of: Callable[[], Keyring],
        envelopes: Envelopes | None = None,
        *,
        public_url: str | None = None,
    ) -> None:
        self._app = app
        self._own_host = urlsplit(public_url or "").hostname
        self._envelopes = envelopes or Envelopes()
        self._keyring_of = keyring_of

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            caller = await self._admit(scope)
        except LimnerError as error:
            headers = {"WWW-Authenticate": _challenge(scope["path"])} if isinstance(error, Unauthorized) else None
            await self._envelopes.response(scope["path"], error, headers)(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)

    async def _admit(self, scope: HttpScope) -> Caller:
        refuse_strange_pages(scope, self._own_host, KEY_HEADERS)
        queried = _take_query_keys(scope)
        if is_public(scope):
            return NOBODY
        keyring = self._keyring_of()
        offered = [*_offered(Headers(scope=scope)), *queried]
        keys = dict.fromkeys(text for text in offered if text is not None and prefix_of(text))
        if not keys and not keyring.required:
            return OPEN  # what else was brought may be meant for a proxy in front, or for no one
        caller = await keyring.authenticate(_only(list(keys), offered))
        caller.require(scope_for(scope["method"], scope["path"]))
        return caller


def scope_for(method: str, path: str) -> Scope:
    """The scope that a key needs for a route which is not public."""
    return next(
        scope for prefix, methods, scope in NEEDED if path.startswith(prefix) and (methods is None or method in methods)
    )


def is_public(scope: HttpScope) -> bool:
    """Whether no key is asked for: health, documentation, and links that carry a signature of their own."""
    path, method = scope["path"], scope["method"]
    if method == "OPTIONS":
        return True
    if method not in READING:
        return False
    signed = path.startswith(SIGNED_PREFIX) and b"signature=" in scope["query_string"]
    return signed or path in PUBLIC or path.startswith(PUBLIC_PREFIXES)


def _challenge(path: str) -> str:
    return 'Basic realm="limner", charset="UTF-8"' if path.startswith(BASIC_PREFIX) else "Bearer"


def _only(keys: list[str], offered: list[str | None]) -> str:
    """The key that is meant. Raises Unauthorized, saying what is wrong with what was offered; repeats none of it."""
    if len(keys) == 1:
        return keys[0]
    if keys:
        raise Unauthorized(f"the request brings {len(keys)} different API keys; send one")
    if not offered:
        raise Unauthorized("an API key is needed: send it as 'Authorization: Bearer lim_...' or 'X-API-Key: lim_...'")
    if None in offered:
        raise Unauthorized(
            "the Authorization header is malformed: write 'Bearer lim_...', 'Key lim_...', or 'Basic ' and the base64 "
            "of 'user:lim_...'"
        )
    raise Unauthorized("what was sent is no API key of this server: one looks like lim_, 8 characters, _ and 43 more")


def _offered(headers: Headers) -> Iterator[str | None]:
    """Every text in the headers that may be a key; None for an Authorization that makes no sense."""
    for value in headers.getlist("authorization"):
        yield from _from_authorization(value)
    for name in KEY_HEADERS:
        yield from (value.strip() for value in headers.getlist(name))


def _from_authorization(value: str) -> Iterator[str | None]:
    kind, _, text = value.strip().partition(" ")
    match kind.lower():
        case "bearer" | "key":
            yield text.strip() or None
        case "basic":
            yield from _from_basic(text.strip())
        case _:
            yield None


def _from_basic(text: str) -> Iterator[str | None]:
    """The password and the user: clients without a field for keys put the key into either."""
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode("utf-8", "replace").partition(":")
    except (binascii.Error, ValueError):
        yield None
        return
    if not colon:
        yield None
    yield from (part for part in (password, user) if part)


def _take_query_keys(scope: HttpScope) -> list[str]:
    """Remove ``key`` from the query where it may stand there, so that neither handlers nor logs see it."""
    if not QUERY_KEYED.fullmatch(scope["path"]):
        return []
    taken: list[str] = []
    kept: list[bytes] = []
    for part in scope["query_string"].split(b"&"):
        name, _, value = part.partition(b"=")
        if unquote_plus(name.decode("latin-1")) == "key":
            taken.append(unquote_plus(value.decode("latin-1")))
        else:
            kept.append(part)
    scope["query_string"] = b"&".join(kept)
    return taken
