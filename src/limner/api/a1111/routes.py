"""A1111's drawing calls and what steers them: txt2img, img2img, progress, interrupt, skip, options.

Owns these routes for every mount; what only lists something is `lists`, what works on finished pictures `extras`.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pybase64
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api.a1111 import docs, extras, lists
from limner.api.a1111.drawing import draw
from limner.api.a1111.fields import DrawFields, ImageFields, TextFields, parse
from limner.api.a1111.mount import Mount, state_of
from limner.api.a1111.options import Options, changed, checkpoint, shown_options
from limner.api.a1111.planning import Asked, Plan, check, plan_image, plan_text
from limner.api.a1111.replies import drawn_body
from limner.api.a1111.runs import Run
from limner.api.asking import read_object, understood
from limner.api.calls import Call, Reply, Wire, conduct, job_accepted, timeout_s_of
from limner.api.direct import DirectRoute
from limner.api.doorkeeper import caller_of
from limner.api.gateway import Gateway, gateway_of
from limner.api.manners import manners_of
from limner.core import Output, Request, Warning
from limner.errors import DeadlineExceeded
from limner.media.infotext import parsed
from limner.roster import ServedModel

# A1111's names of what an infotext says -> the fields that it fills in.
INFOTEXT: Mapping[str, str] = {
    "Prompt": "prompt",
    "Negative prompt": "negative_prompt",
    "Steps": "steps",
    "Sampler": "sampler_name",
    "Schedule type": "scheduler",
    "CFG scale": "cfg_scale",
    "Seed": "seed",
    "Size-1": "width",
    "Size-2": "height",
    "Denoising strength": "denoising_strength",
}
IDLE: Mapping[str, Any] = {
    "skipped": False,
    "interrupted": False,
    "stopping_generation": False,
    "job": "",
    "job_count": 0,
    "job_timestamp": "0",
    "job_no": 0,
    "sampling_step": 0,
    "sampling_steps": 0,
}


def router_of(mount: Mount) -> APIRouter:
    """All of A1111's routes under the mount's prefix."""
    router = APIRouter(prefix=mount.prefix, tags=[mount.tag], route_class=DirectRoute)

    async def txt2img(http: HttpRequest) -> Response:
        """Draw pictures from a prompt."""
        body = await read_object(http, gateway_of(http).settings.max_json_bytes)
        return await _answer(http, mount, parse(TextFields, await understood(http, _filled_in, body)))

    async def img2img(http: HttpRequest) -> Response:
        """Draw over pictures, everywhere or under a mask."""
        body = await read_object(http, gateway_of(http).settings.max_body_bytes)
        return await _answer(http, mount, parse(ImageFields, await understood(http, _filled_in, body)))

    async def get_options(http: HttpRequest) -> Response:
        """The key's options."""
        options = state_of(http).options.of(caller_of(http).key_id)
        return json_response(shown_options(options, _default(mount, gateway_of(http))))

    router.add_api_route("/txt2img", txt2img, methods=["POST"], openapi_extra=docs.TXT2IMG)
    router.add_api_route("/img2img", img2img, methods=["POST"], openapi_extra=docs.IMG2IMG)
    router.add_api_route("/options", get_options, methods=["GET"], openapi_extra=docs.OPTIONS)
    router.add_api_route("/options", set_options, methods=["POST"], openapi_extra=docs.SET_OPTIONS)
    router.add_api_route("/progress", progress, methods=["GET"], openapi_extra=docs.PROGRESS)
    router.add_api_route("/interrupt", interrupt, methods=["POST"], openapi_extra=docs.EMPTY)
    router.add_api_route("/skip", skip, methods=["POST"], openapi_extra=docs.EMPTY)
    lists.add_to(router)
    extras.add_to(router)
    for route in router.routes:
        assert isinstance(route, APIRoute), "nothing else is added"
        route.openapi_extra = docs.in_form(route.openapi_extra or {}, mount.error)
        route.include_in_schema = not mount.shown or route.path.removeprefix(mount.prefix) in mount.shown
    return router


def json_response(value: object) -> Response:
    """JSON."""
    return Response(orjson.dumps(value), media_type="application/json")


async def set_options(http: HttpRequest) -> Response:
    """Set options of the key; what cannot be set is told, null where there is nothing to tell."""
    gateway, caller, book = gateway_of(http), caller_of(http), state_of(http).options
    given = await read_object(http, gateway.settings.max_json_bytes)
    options, warnings = changed(book.of(caller.key_id), given, gateway.service.roster)
    book.keep(caller.key_id, options)
    told = [{"param": one.param, "code": one.code, "message": one.message} for one in warnings]
    return json_response({"limner_warnings": told} if told else None)


async def progress(http: HttpRequest, skip_current_image: bool = False) -> Response:
    """How far the caller's newest call is, and what it looks like."""
    gateway = gateway_of(http)
    run = state_of(http).runs.newest(caller_of(http).key_id)
    if run is None:
        idle = {"progress": 0.0, "eta_relative": 0.0, "state": IDLE, "current_image": None, "textinfo": None}
        return json_response(idle)
    picture = None if skip_current_image or run.preview is None else run.preview
    file = None if picture is None else await gateway.media.encode(picture, Output())
    return json_response(
        {
            "progress": round(run.progress, 4),
            "eta_relative": round(await _eta_s(gateway, run), 2),
            "state": _state(run),
            "current_image": None if file is None else pybase64.b64encode(file).decode(),
            "textinfo": None,
        }
    )


async def interrupt(http: HttpRequest) -> Response:
    """Stop all of the caller's calls; each answers with what it has drawn."""
    gateway = gateway_of(http)
    runs = state_of(http).runs.of(caller_of(http).key_id)
    for run in runs:
        run.interrupted = True
    await asyncio.gather(*(gateway.service.cancel(run.job) for run in runs))
    return json_response({})


async def skip(http: HttpRequest) -> Response:
    """Give up what is being drawn of the caller's newest call, and go on with the rest of it."""
    run = state_of(http).runs.newest(caller_of(http).key_id)
    if run is not None:
        run.skipped = True
        await gateway_of(http).service.cancel(run.job)
    return json_response(None)


def _filled_in(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with what its ``infotext`` says about fields that it lacks."""
    given = {name: value for name, value in body.items() if value is not None}
    text = given.get("infotext")
    if not isinstance(text, str) or not text.strip():
        return given
    said = parsed(text)
    return {field: said[name] for name, field in INFOTEXT.items() if said.get(name)} | given


async def _answer(http: HttpRequest, mount: Mount, fields: DrawFields) -> Response:
    """Draw what was asked for; see `conduct`."""
    check(fields)
    gateway, manners = gateway_of(http), manners_of(http)
    detached = mount.detached is not None and fields.asynchronous
    options, told = _options(http, fields)
    model = _model(fields, options, mount, gateway)
    asked = Asked(
        fields,
        model.spec,
        options,
        mount.steps,
        _timeout_s(http, mount, detached=detached),
        one=detached or manners.respond_async or manners.estimate,
        warnings=(*told, *_only_detached(mount, fields)),
    )
    planned: list[Plan] = []

    async def read() -> tuple[Request, tuple[Warning, ...]]:
        plan = await _planned(http, asked)
        planned.append(plan)
        return plan.parts[0].request, plan.warnings

    hook = None
    if mount.detached is not None and fields.webhook_url:
        hook = mount.detached.hook(fields.webhook_url, gateway.settings)
    wire = Wire(
        reply=_waiting(mount, lambda call: _reply(call, fields, planned[0])),
        accepted=job_accepted if mount.detached is None else mount.detached.accepted,
    )
    return await conduct(http, model.spec.id, read, wire, detached=detached, hook=hook)


def _waiting(mount: Mount, reply: Reply) -> Reply:
    return reply if mount.detached is None else mount.detached.waiting(reply)


async def _planned(http: HttpRequest, asked: Asked) -> Plan:
    """Reading pictures may take as long as a job, and no longer: raises DeadlineExceeded."""
    gateway = gateway_of(http)
    if not isinstance(asked.fields, ImageFields):
        return await plan_text(gateway, asked, caller_of(http))
    try:
        async with asyncio.timeout(asked.timeout_s):
            return await plan_image(gateway, asked)
    except TimeoutError as error:
        raise DeadlineExceeded(f"the input pictures were not read within {asked.timeout_s:g} s") from error


async def _reply(call: Call, fields: DrawFields, plan: Plan) -> Response:
    key_id = caller_of(call.http).key_id
    with state_of(call.http).runs.begin(key_id, call.job, plan.jobs) as run:
        drawn = await draw(call, plan, run)
    content = await drawn_body(call.gateway, fields, call.job, drawn)
    return Response(content, media_type="application/json", headers=call.headers)


def _options(http: HttpRequest, fields: DrawFields) -> tuple[Options, tuple[Warning, ...]]:
    """The key's options with this call's ``override_settings``, which stay where the call says so."""
    book, key_id = state_of(http).options, caller_of(http).key_id
    options, told = changed(book.of(key_id), fields.override_settings, gateway_of(http).service.roster)
    if not fields.override_settings_restore_afterwards:
        book.keep(key_id, options)
    return options, told


def _model(fields: DrawFields, options: Options, mount: Mount, gateway: Gateway) -> ServedModel:
    return checkpoint(fields.model or options.checkpoint or _default(mount, gateway), gateway.service.roster)


def _default(mount: Mount, gateway: Gateway) -> str:
    return mount.model or gateway.service.roster.default.spec.id


def _timeout_s(http: HttpRequest, mount: Mount, *, detached: bool) -> float:
    usual_s = timeout_s_of(http, None, detached=detached)
    if mount.limit_s is None or detached or manners_of(http).respond_async:
        return usual_s
    return min(mount.limit_s, gateway_of(http).settings.max_timeout_s)


def _only_detached(mount: Mount, fields: DrawFields) -> tuple[Warning, ...]:
    if mount.detached is not None:
        return ()
    given = {"async": fields.asynchronous, "webhook_url": bool(fields.webhook_url)}
    why = "has no effect: calls here are waited for; send 'Prefer: respond-async' or POST /v1/jobs"
    return tuple(Warning(name, "ignored", f"{name!r} {why}") for name, asked in given.items() if asked)


async def _eta_s(gateway: Gateway, run: Run) -> float:
    """Seconds until the whole call is done, as far as can be told from its present job."""
    position = await gateway.service.position(run.job)
    left_s = gateway.service.eta_s(run.job, position) or 0.0
    whole_s = left_s / max(1.0 - run.job.progress, 0.01)
    return left_s + whole_s * (run.jobs - run.index - 1)


def _state(run: Run) -> dict[str, Any]:
    step, steps = run.steps
    return {
        **IDLE,
        "skipped": run.skipped,
        "interrupted": run.interrupted,
        "stopping_generation": run.interrupted,
        "job": f"Batch {run.index + 1} out of {run.jobs}",
        "job_count": run.jobs,
        "job_timestamp": str(int(run.began_at_s)),
        "job_no": run.index,
        "sampling_step": step,
        "sampling_steps": steps,
    }


router = router_of(Mount(prefix="/sdapi/v1", tag="A1111", steps=50))
