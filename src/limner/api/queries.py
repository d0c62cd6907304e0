"""Numbers in a request's query, for every route that has some.

Owns their bounds' wording and the most that a page has.
"""

from starlette.requests import Request as HttpRequest

from limner.catalogue.values import shown
from limner.errors import InvalidRequest

MAX_PAGE = 100


def whole_number(http: HttpRequest, name: str, default: int, lowest: int, highest: int) -> int:
    """A query parameter that is a whole number within bounds. Raises InvalidRequest."""
    given = http.query_params.get(name)
    if given is None:
        return default
    if given.isascii() and given.isdigit() and len(given) <= 9 and lowest <= int(given) <= highest:
        return int(given)
    raise InvalidRequest(
        f"Invalid value for {name!r}: {shown(given)}. Allowed: whole numbers from {lowest} to {highest}", param=name
    )
