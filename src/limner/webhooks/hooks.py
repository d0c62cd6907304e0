"""The wire field ``webhook``: a URL, or ``{"url", "secret"}``; judged before a job is accepted.

What a name resolves to is judged again whenever something is delivered; here only what the URL itself shows.
"""

import socket
from collections.abc import Mapping
from ipaddress import IPv4Address, ip_address

from limner.config import Settings
from limner.errors import InvalidRequest, MissingParameter, UnknownParameter
from limner.media.addresses import Network, parse_networks
from limner.media.guarded import Guard, Refused
from limner.store.rows import Hook
from limner.webhooks.signing import parse_secret

MAX_URL_CHARACTERS = 2048
_SHOWN_CHARACTERS = 100
_FIELDS = ("url", "secret")


def parse_hook(value: object, settings: Settings) -> Hook:
    """The hook that ``value`` means. Raises InvalidRequest naming ``webhook`` or its field, and what is allowed."""
    if not settings.webhooks:
        raise InvalidRequest("this server calls no webhooks: leave 'webhook' out and ask for the job", param="webhook")
    fields = {"url": value} if isinstance(value, str) else value
    if not isinstance(fields, Mapping):
        raise InvalidRequest("'webhook' must be a URL or an object with 'url' and 'secret'", param="webhook")
    for name in fields:
        if name not in _FIELDS:
            raise UnknownParameter(
                f"'webhook' has no field {_shown(name)}; allowed: {', '.join(_FIELDS)}", param="webhook"
            )
    url, secret = fields.get("url"), fields.get("secret")
    if url is None:
        raise MissingParameter("'webhook' lacks its 'url'", param="webhook.url")
    if not isinstance(url, str):
        raise InvalidRequest("'webhook.url' must be a string", param="webhook.url")
    check_url(url, parse_networks(settings.webhook_allow))
    return Hook(url, _secret(secret))


def check_url(url: str, allowed: tuple[Network, ...] = ()) -> None:
    """Return for a URL that may be called as far as it shows; raises InvalidRequest naming ``webhook.url``."""
    if len(url) > MAX_URL_CHARACTERS:
        raise InvalidRequest(
            f"'webhook.url' has {len(url)} characters; at most {MAX_URL_CHARACTERS} are taken", param="webhook.url"
        )
    guard = Guard(allowed, free_ports=True)
    try:
        target = guard.parse(url)
    except (Refused, ValueError) as error:
        raise InvalidRequest(
            f"'webhook.url' must be an http or https URL on port 80 or 443 and without user information, "
            f"not {_shown(url)}",
            param="webhook.url",
        ) from error
    if not _may_be_public(target.host.decode("ascii"), target.port or 0, guard):
        raise InvalidRequest(
            f"'webhook.url' must be a public address or in a network that the setting webhook_allow lists, "
            f"not {_shown(url)}",
            param="webhook.url",
        )


def _may_be_public(host: str, port: int, guard: Guard) -> bool:
    """Whether the host might resolve to what the guard lets through; a literal address must itself."""
    address = _literal(host)
    if address is not None:
        return guard.may_connect(address, port)
    local = "." not in host or host.endswith(".localhost")
    return bool(guard.allowed) or not local


def _literal(host: str) -> str | None:
    """The address that ``host`` spells, in any form that resolvers take for one, or None for a name."""
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        return str(IPv4Address(socket.inet_aton(host)))  # 127.1, 0x7f000001, 0177.0.0.1, 2130706433
    except OSError:
        return None


def _secret(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidRequest("'webhook.secret' must be a string", param="webhook.secret")
    try:
        parse_secret(value)
    except ValueError as error:
        raise InvalidRequest(f"'webhook.secret' is none: {error}", param="webhook.secret") from error
    return value


def _shown(text: object) -> str:
    return repr(str(text)[:_SHOWN_CHARACTERS])
