"""Checks of what stands beside models that draw: the grounder, somebody else's APIs, tools to cut out and enlarge.

Nothing is loaded and nobody is asked to answer anything: small files are read, and an API's list of models.
"""

import asyncio
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from limner.catalogue.spec import ENLARGER, SPEAKER, Route
from limner.config import Settings
from limner.doctor.finding import Finding, ok, problem, warning
from limner.engine import EMBEDDED_PREFIX, ModelSource, probe
from limner.engine.weights import on_disk
from limner.errors import LimnerError
from limner.machine import require_speaker
from limner.runtime import find_models

ANSWER_S = 5.0
MAX_LIST_BYTES = 8 * 1024 * 1024
NO_LIST = (404, 405, 501)  # of an API that answers, and has no list of its models
RESAMPLE = "resample"


async def check_helpers(settings: Settings) -> Sequence[Finding]:
    """Each helper that the settings name."""
    here = await asyncio.to_thread(_look_here, settings)
    apis = [
        _look_at_api(kind, url, model, key)
        for kind, url, model, key in (
            ("vision", settings.vision_url, settings.vision_model, settings.vision_key),
            ("language", settings.language_url, settings.language_model, settings.language_key),
        )
        if url
    ]
    return [*here, *await asyncio.gather(*apis)]


def look_at_tool(name: str, route: Route) -> Finding:
    """A model of a cutter or an enlarger: whether its file is here and what runs it is installed."""
    if route.source == RESAMPLE or route.source.startswith(EMBEDDED_PREFIX):
        return ok(f"{name}: comes with limner")
    enlarges = route.backend == ENLARGER
    is_file = enlarges or Path(route.source).suffix == ".onnx"
    if is_file and not Path(route.source).expanduser().is_file():
        return problem(f"{name}: there is no file {route.source!r}", "correct the path, or download the file")
    extra, packages = ("upscale", ("spandrel", "torchvision")) if enlarges else ("cutout", ("onnxruntime", "rembg"))
    missing = [one for one in packages if importlib.util.find_spec(one) is None]
    if missing:
        return problem(f"{name} needs {' and '.join(missing)}, not installed", f"pip install 'limner[{extra}]'")
    return ok(f"{name}: {'its file is here' if is_file else 'fetched when first served, unless it is here'}")


def _look_here(settings: Settings) -> list[Finding]:
    found = [_look_at_grounder(settings.grounder)] if settings.draws else []
    if settings.language_model and not settings.language_url:
        found.append(_look_at_speaker(settings))
    return found


def _look_at_grounder(source: str) -> Finding:
    from limner.engine.grounding.finders import LOADERS

    try:
        found = probe(ModelSource(source, source))
        weights = on_disk(ModelSource(source, source), found)
    except LimnerError as error:
        return problem(f"grounder: {error.message}", "correct the setting grounder; region edits fail without it")
    if found.pipeline not in LOADERS:
        message = f"grounder: {source} is a {found.pipeline}, which finds nothing by words"
        return problem(message, f"name one of: {', '.join(LOADERS)}")
    if weights is None:
        advice = "the first start downloads it: that takes time and room in HF_HOME"
        return warning(f"grounder: {source} is not on this machine yet", advice)
    if not weights.file_bytes:
        return problem(f"grounder: {source} holds no weights", "download the model again")
    return ok(f"grounder: {source} is a {found.pipeline}")


def _look_at_speaker(settings: Settings) -> Finding:
    """A language model that is to be served here."""
    try:
        specs = find_models(settings)
        speakers = frozenset(spec.id for spec in specs if spec.loads is not None and spec.loads.backend == SPEAKER)
        require_speaker(settings.language_model, speakers)
    except LimnerError as error:
        return problem(error.message, "correct the setting language_model")
    return ok(f"language_model: {settings.language_model} is served here")


async def _look_at_api(kind: str, url: str, model: str, key: str) -> Finding:
    """An OpenAI-compatible API, by its list of models. No message has the key, or what the URL may hold of one."""
    where = f"{kind}_url: {urlsplit(url).netloc.rpartition('@')[2]}"
    if not (key.isascii() and key.isprintable()):
        return problem(f"{where}: {kind}_key has characters that no header can carry", f"correct {kind}_key")
    try:
        async with asyncio.timeout(ANSWER_S):
            status, body = await _listed(url, key)
    except (TimeoutError, httpx2.HTTPError) as error:
        why = "no answer" if isinstance(error, TimeoutError | httpx2.TimeoutException) else type(error).__name__
        return problem(f"{where} cannot be reached: {why}", f"start it, or correct {kind}_url")
    if status in (401, 403):
        wrong = "does not accept the key" if key else "asks for a key"
        return problem(f"{where} {wrong} (status {status})", f"set {kind}_key to one that may use {model}")
    if status in NO_LIST:
        return ok(f"{where} answers, though it has no list of models")
    if status != 200:
        return warning(f"{where} answers with status {status}", "is it well, and does the URL end in its /v1?")
    names = _names(body)
    if names and model not in names:
        return warning(f"{where} does not list {model!r}", f"correct {kind}_model, unless the API hides it")
    return ok(f"{where} answers for {model}")


async def _listed(url: str, key: str) -> tuple[int, bytes]:
    """The status and the beginning of the list of models; redirects are not followed, as they are not later."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    content = bytearray()
    async with (
        httpx2.AsyncClient(headers=headers, timeout=ANSWER_S) as client,
        client.stream("GET", f"{url.rstrip('/')}/models") as response,
    ):
        async for part in response.aiter_bytes():
            content += part
            if len(content) > MAX_LIST_BYTES:
                break
    return response.status_code, bytes(content)


def _names(body: bytes) -> set[str]:
    """The models' ids; none where the list is of another form."""
    try:
        models = json.loads(body)["data"]
        return {str(model["id"]) for model in models}
    except (ValueError, TypeError, LookupError):
        return set()
