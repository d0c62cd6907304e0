"""Routes whose handlers read the exchange themselves.

Owns the shortcut past FastAPI's parameters; what a route says of itself in the OpenAPI document stays as it is.
"""

import inspect
from collections.abc import Callable
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request as HttpRequest
from starlette.routing import request_response


class DirectRoute(APIRoute):
    """A route that calls a handler which takes the exchange and nothing else at once: FastAPI would look for its
    parameters, its dependencies and a body at every request. Any other handler is called as FastAPI does."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        taken = [parameter.annotation for parameter in inspect.signature(endpoint).parameters.values()]
        if taken == [HttpRequest] and inspect.iscoroutinefunction(endpoint) and not self.dependencies:
            self.app = request_response(endpoint)
