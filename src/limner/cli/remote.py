"""Drawing on a server, over its OpenAI Images API, and asking it about its models.

Owns turning an Ask into HTTP and replies and failures back. Streams, because a stream's keep-alives tell a server that
works for long from one that has died; a reply that is not a stream is read as well.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2

from limner.cli.ask import Ask, Drawn, InputFile, Said
from limner.cli.progress import Watch
from limner.core import Progress, Warning
from limner.errors import (
    Cancelled,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    InsufficientCredits,
    InternalError,
    InvalidRequest,
    LimnerError,
    NotFound,
    NotReady,
    Overloaded,
    TooLarge,
    Unauthorized,
    UnsupportedMedia,
    UpstreamFailed,
    UpstreamTimeout,
)

CONNECT_TIMEOUT_S = 10.0
SILENCE_TIMEOUT_S = 120.0  # the server sends a keep-alive every few seconds while it works
ANSWER_TIMEOUT_S = 180.0  # what a server gives a request that names no timeout, unless it is configured otherwise

PROGRESS = re.compile(r": progress (\d+)/(\d+)")

_BY_STATUS: Mapping[int, type[LimnerError]] = {
    error.status: error
    for error in (
        InvalidRequest,
        Unauthorized,
        InsufficientCredits,
        Forbidden,
        NotFound,
        DeadlineExceeded,
        Conflict,
        TooLarge,
        UnsupportedMedia,
        Overloaded,
        Cancelled,
        InternalError,
        UpstreamFailed,
        NotReady,
        UpstreamTimeout,
    )
}
# Events in a stream carry an error's code, and no status.
_BY_CODE: Mapping[str, type[LimnerError]] = {error.code: error for error in _BY_STATUS.values()}


def draw(ask: Ask, server: str, api_key: str | None, watch: Watch) -> Drawn:
    """Have the server draw; ``watch`` is told its steps.

    Raises LimnerError: the server's own, or NotReady when it cannot be reached.
    """
    with _client(server, api_key) as client, _posted(client, ask) as response, _limners():
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            return _from_events(response, watch)
        return _from_body(_json(response))


def describe(ask: Ask, server: str, api_key: str | None) -> Said:
    """Have the server say what is in the pictures. Raises LimnerError as `draw` does.

    No keep-alives come before this answer: the server may be silent for all of the timeout.
    """
    given = {"prompt": ask.prompt or None, "model": ask.model, "timeout": ask.timeout_s}
    form = {name: _form_text(value) for name, value in given.items() if value is not None}
    silence_s = SILENCE_TIMEOUT_S + (ANSWER_TIMEOUT_S if ask.timeout_s is None else ask.timeout_s)
    with _client(server, api_key, silence_s) as client:
        response = client.post("/v1/images/describe", data=form, files=_parts(ask))
        _raise_for(response)
        body = _json(response)
    text, said = body.get("text"), body.get("limner", {})
    if not isinstance(text, str):
        raise UpstreamFailed("the server's reply has no text")
    with _limners():
        return Said(text, str(said.get("model", "")), _warnings(said))


def models(server: str, api_key: str | None) -> list[dict[str, Any]]:
    """What the server says about each of its models. Raises LimnerError."""
    data = call("GET", "/v1/models", server, api_key).get("data")
    if not isinstance(data, list) or not all(isinstance(model, dict) and "id" in model for model in data):
        raise UpstreamFailed("the server answered /v1/models without a list of models")
    return data


def call(method: str, path: str, server: str, api_key: str | None) -> dict[str, Any]:
    """What the server answers to a request without a body. Raises LimnerError."""
    with _client(server, api_key) as client:
        response = client.request(method, path)
        _raise_for(response)
        return _json(response)


@contextmanager
def _client(server: str, api_key: str | None, silence_s: float | None = None) -> Iterator[httpx2.Client]:
    silence_s = SILENCE_TIMEOUT_S if silence_s is None else silence_s
    timeout = httpx2.Timeout(SILENCE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S, read=silence_s)
    url, server = base_url(server), _without_login(server)
    try:
        _check(url)
        with _opened(url, _headers(url, api_key), timeout) as client:
            yield client
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        raise InvalidRequest(
            f"--server {server!r} is not an http(s) URL such as http://127.0.0.1:8000: {error}", param="server"
        ) from error
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        raise NotReady(f"cannot reach the server at {server}: {error}") from error
    except httpx2.TimeoutException as error:
        raise DeadlineExceeded(f"the server at {server} has been silent for {silence_s:g} s") from error
    except httpx2.RequestError as error:
        raise NotReady(f"the connection to {server} broke: {error}") from error


@contextmanager
def _limners() -> Iterator[None]:
    """What is read here is limner's: an answer of another form raises UpstreamFailed."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UpstreamFailed(f"the server's answer makes no sense ({error!r}); is --server a limner server?") from error


def base_url(server: str) -> str:
    """The server's root: a scheme is added where it is missing, the ``/v1`` of an OpenAI base URL taken off."""
    url = server if "://" in server else f"http://{server}"
    return url.rstrip("/").removesuffix("/v1")


def _without_login(server: str) -> str:
    """The server as messages have it: without the password that its URL may hold."""
    return re.sub(r"(^|//)[^/]*@", r"\1", server, count=1)


def _headers(url: str, api_key: str | None) -> dict[str, str]:
    """The key goes where a login in the URL, meant for a proxy in front, does not take its place."""
    if api_key is None:
        return {}
    return {"X-API-Key": api_key} if "@" in urlsplit(url).netloc else {"Authorization": f"Bearer {api_key}"}


def _opened(url: str, headers: Mapping[str, str], timeout: httpx2.Timeout) -> httpx2.Client:
    try:
        return httpx2.Client(base_url=url, headers=headers, timeout=timeout)
    except (ImportError, OSError, ValueError) as error:
        raise InvalidRequest(
            "cannot ask servers with the proxy (ALL_PROXY, ...) or the certificates (SSL_CERT_FILE, ...) that the "
            f"environment names: {error}"
        ) from error


def _check(url: str) -> None:
    """Raise InvalidURL unless it names a host. The client would take what is no host for one not reached."""
    try:
        host, _ = urlsplit(url).hostname, urlsplit(url).port
    except ValueError as error:
        raise httpx2.InvalidURL(str(error)) from error
    if not host:
        raise httpx2.InvalidURL("it names no host")


@contextmanager
def _posted(client: httpx2.Client, ask: Ask) -> Iterator[httpx2.Response]:
    fields = _fields(ask)
    if ask.images:
        form = {name: _form_text(value) for name, value in fields.items()}
        stream = client.stream("POST", "/v1/images/edits", data=form, files=_parts(ask))
    else:
        stream = client.stream("POST", "/v1/images/generations", json=fields)
    with stream as response:
        _raise_for(response)
        yield response


def _fields(ask: Ask) -> dict[str, Any]:
    fields = {
        "prompt": ask.prompt,
        "model": ask.model,
        "n": ask.n,
        "size": ask.size,
        "seed": ask.seed,
        "timeout": ask.timeout_s,
        "output_format": ask.format,
        "stream": True,
        **ask.params,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _form_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parts(ask: Ask) -> list[tuple[str, tuple[str, bytes, str]]]:
    name = "image" if len(ask.images) == 1 else "image[]"
    parts = [(name, _part(file)) for file in ask.images]
    return parts if ask.mask is None else [*parts, ("mask", _part(ask.mask))]


def _part(file: InputFile) -> tuple[str, bytes, str]:
    return file.name, file.data, "application/octet-stream"  # the server goes by the bytes


def _from_events(response: httpx2.Response, watch: Watch) -> Drawn:
    """Collect the ``completed`` events; the last one also says what was done, comments how far it is."""
    finished: list[dict[str, Any]] = []
    for line in response.iter_lines():
        if progress := PROGRESS.fullmatch(line):
            watch(Progress(int(progress[1]), int(progress[2])))
        if not line.startswith("data:") or line.endswith("[DONE]"):
            continue  # our events have one line of data each; their type stands in it again
        data = _object(line.removeprefix("data:"))
        if "error" in data:
            raise _error(500, data)
        if str(data.get("type", "")).endswith(".completed"):
            finished.append(data)
    if not finished:
        raise UpstreamFailed("the server's stream ended before the picture was finished")
    finished.sort(key=lambda data: int(data.get("image_index", 0)))
    said: dict[str, Any] = next((data["limner"] for data in finished if "limner" in data), {})
    return _drawn([data.get("b64_json") for data in finished], said)


def _from_body(body: Mapping[str, Any]) -> Drawn:
    items = body.get("data")
    if not isinstance(items, list):
        raise UpstreamFailed("the server's reply has no pictures")
    return _drawn([item.get("b64_json") for item in items], body.get("limner", {}))


def _drawn(encoded: list[Any], said: Mapping[str, Any]) -> Drawn:
    try:
        files = tuple(base64.b64decode(text, validate=True) for text in encoded)
    except (TypeError, binascii.Error) as error:
        raise UpstreamFailed("the server's reply has a picture that is not base64") from error
    return Drawn(files, str(said.get("model", "")), dict(said.get("effective", {})), _warnings(said))


def _warnings(said: Mapping[str, Any]) -> tuple[Warning, ...]:
    return tuple(Warning(w["param"], w["code"], w["message"]) for w in said.get("warnings", ()))


def _raise_for(response: httpx2.Response) -> None:
    if response.is_success:
        return
    if response.has_redirect_location:
        raise InvalidRequest(_redirected(response), param="server")
    response.read()
    try:
        body = _json(response)
    except UpstreamFailed:
        body = {}
    error = _error(response.status_code, body)
    if isinstance(error, Unauthorized) and "authorization" not in response.request.headers:
        error.message += "; on the command line with --api-key or LIMNER_API_KEY"
    raise error


def _redirected(response: httpx2.Response) -> str:
    to = _without_login(str(response.url.join(response.headers["location"])))
    base, is_ours, _ = to.partition("/v1/")
    advice = f"use --server {base}" if is_ours else "this is no limner server's answer"
    return f"the server redirects to {to}: {advice}"


def _error(status: int, body: Mapping[str, Any]) -> LimnerError:
    """The server's error as the exception it was there; without a known code the status decides."""
    said = body.get("error")
    said = said if isinstance(said, dict) else {}
    message = str(said.get("message") or body.get("detail") or f"the server answered with status {status}")
    by_status = _BY_STATUS.get(status) or (InvalidRequest if 400 <= status < 500 else InternalError)
    kind = _BY_CODE.get(str(said.get("code")), by_status) if status == 500 else by_status
    param = said.get("param")
    return kind(message, param=param if isinstance(param, str) else None)


def _json(response: httpx2.Response) -> dict[str, Any]:
    response.read()
    return _object(response.text)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UpstreamFailed(f"the server's answer is not JSON: {text[:80]!r}; is --server a limner server?")
    return value
