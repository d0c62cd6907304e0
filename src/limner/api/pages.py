"""Web pages of others: a browser lets any of them send simple requests here, in the name of whoever looks at it.

Owns telling those requests. What is not simple (JSON, a key in a header) the browser sends only where whoever answers
its preflight allows it, and this server does not: who put a proxy in front that does has said so.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from limner.catalogue.values import shown
from limner.errors import Forbidden

# What a page may send without a preflight (Fetch standard, CORS-safelisted); "" is a request without a body or type.
SIMPLE_TYPES = frozenset({"", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})


def refuse_strange_pages(scope: Scope, own_host: str | None, key_headers: Sequence[str]) -> None:
    """Raise Forbidden for a simple request of another site's page; ``own_host`` is ours beside the one it names, and
    keys stand in ``key_headers`` or Authorization."""
    headers = Headers(scope=scope)
    if scope["method"] != "POST" or any(name in headers for name in key_headers):
        return
    if not _is_simple(headers) or not _is_cross_site(headers, own_host):
        return
    origin = headers.get("origin")
    whose = "another site" if origin is None else shown(origin)
    raise Forbidden(
        f"a page of {whose} may not ask for this: send an API key in a header (any 'Authorization: Bearer ...' where "
        "no key is needed); if the page is this server's own, set 'public_url' to where it is found"
    )


def _is_simple(headers: Headers) -> bool:
    """Whether a browser sends it unasked; of keys, only HTTP Basic's, which it adds by itself."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    given = headers.get("authorization", "basic").partition(" ")[0].lower()
    return kind in SIMPLE_TYPES and given == "basic"


def _is_cross_site(headers: Headers, own_host: str | None) -> bool:
    """As the browser says, or else by the hosts: over plain HTTP it names only the origin."""
    site, host = headers.get("sec-fetch-site"), _host(headers.get("origin"))
    if host is not None and host == own_host:
        return False
    if site is not None:
        return site == "cross-site"
    return "origin" in headers and (host is None or host != _host(f"//{headers.get('host', '')}"))


def _host(url: str | None) -> str | None:
    try:
        return urlsplit(url or "").hostname
    except ValueError:
        return None
