"""What was drawn as A1111's reply: base64 pictures, the parameters again, and ``info`` as a string of JSON.

Owns those shapes. Megabytes of base64 are joined into the body as bytes and never pass through a JSON encoder.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pybase64

from limner import __version__
from limner.api.a1111.drawing import Drawn
from limner.api.a1111.fields import DrawFields, TextFields, echo, parse
from limner.api.a1111.planning import Part
from limner.api.gateway import Gateway
from limner.api.replies import limner_object
from limner.core import Output, Picture, Warning
from limner.jobs import Job, Outcome, StoredPicture
from limner.media.recipe_text import infotext, recipe_text
from limner.records import recipe, request_record, warning_records
from limner.tasks import together

NOBODY_DREW: Outcome = Outcome((), None, {}, ())


async def drawn_body(gateway: Gateway, fields: DrawFields, first: Job, drawn: Sequence[Drawn]) -> bytes:
    """``{"images", "parameters", "info", "limner"}`` as JSON bytes. Raises NotFound once a picture's time is over."""
    made = [(one, picture) for one in drawn for picture in one.outcome.pictures]
    files = await together(_file(gateway, one, picture) for one, picture in made) if fields.send_images else ()
    told = info(fields, first, drawn)
    tail = {"parameters": _parameters(fields, told), "info": orjson.dumps(told).decode()}
    return b"".join(
        (
            b'{"images":[',
            b",".join(b'"' + pybase64.b64encode(file) + b'"' for file in files),
            b"],",
            memoryview(orjson.dumps({**tail, "limner": _limner(first, drawn)}))[1:],
        )
    )


def _parameters(fields: DrawFields, told: Mapping[str, Any]) -> dict[str, Any]:
    """The fields again; those that were left out have the values that were used."""
    given = echo(fields)
    return given | {name: told[name] for name in ("steps", "cfg_scale", "width", "height") if given[name] is None}


async def _file(gateway: Gateway, one: Drawn, picture: StoredPicture) -> bytes:
    if one.part.paste is None:
        return await gateway.service.data_of(picture)
    output = one.job.request.output
    small = await gateway.service.decoded(picture)
    whole: Picture = await asyncio.to_thread(one.part.paste.finished, small)
    text = recipe_text(_recipe(one.job, picture.seed, one.outcome)) if gateway.settings.embed_recipe else None
    return await gateway.media.encode(whole, Output(output.format, output.compression), text)


def info(fields: DrawFields, first: Job, drawn: Sequence[Drawn]) -> dict[str, Any]:
    """What A1111 says of a call, and as ``limner_warnings`` what was not done as it was asked."""
    made = [(one, picture.seed) for one in drawn for picture in one.outcome.pictures]
    seeds = [seed for _, seed in made]
    request, params = first.request, first.request.params
    negative = params.get("negative_prompt") or ""
    assert request.size is not None, "the size of a job is settled"
    return {
        "prompt": request.prompt,
        "all_prompts": [request.prompt] * len(seeds),
        "negative_prompt": negative,
        "all_negative_prompts": [negative] * len(seeds),
        "seed": request.seed,
        "all_seeds": seeds,
        "subseed": -1,
        "all_subseeds": [-1] * len(seeds),
        "subseed_strength": 0,
        "width": request.size.width_px,
        "height": request.size.height_px,
        "sampler_name": params.get("sampler") or "Euler",
        "cfg_scale": params.get("true_cfg_scale", params.get("guidance_scale")),
        "steps": params.get("num_inference_steps"),
        "batch_size": fields.batch_size,
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": first.model,
        "sd_model_hash": drawn[0].outcome.model_revision if drawn else None,
        "sd_vae_name": None,
        "sd_vae_hash": None,
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "denoising_strength": (drawn[-1].job.request if drawn else request).params.get("strength"),
        "extra_generation_params": _second_pass(drawn),
        "index_of_first_image": 0,
        "infotexts": [infotext(_recipe(one.job, seed, one.outcome)) for one, seed in made],
        "styles": [],
        "job_timestamp": time.strftime("%Y%m%d%H%M%S", time.gmtime(first.times.created_at_s)),
        "clip_skip": 1,
        "is_using_inpainting_conditioning": False,
        "version": f"limner {__version__}",
        "limner_warnings": list(warning_records(_warnings(first, drawn))),
    }


def _second_pass(drawn: Sequence[Drawn]) -> Mapping[str, Any]:
    second = drawn[0].part.second if drawn else None
    return {} if second is None else second.told


def _warnings(first: Job, drawn: Sequence[Drawn]) -> tuple[Warning, ...]:
    """Each once, though every job of a call has it."""
    told = (*first.warnings, *(one for o in drawn for one in (*o.job.warnings, *o.outcome.warnings)))
    return tuple(dict.fromkeys(told))


def _limner(first: Job, drawn: Sequence[Drawn]) -> dict[str, Any]:
    """The ``limner`` object of the first job, with what the others add."""
    own = limner_object(first, drawn[0].outcome if drawn else NOBODY_DREW)
    files = [picture.id for one in drawn for picture in one.outcome.pictures]
    seeds = [picture.seed for one in drawn for picture in one.outcome.pictures]
    told = list(warning_records(_warnings(first, drawn)))
    effective = {**own["effective"], "seeds": seeds, "n": len(files)}
    return {**own, "effective": effective, "files": files, "warnings": told, "jobs": _jobs(drawn)}


def _jobs(drawn: Sequence[Drawn]) -> list[str]:
    """The ids of all jobs, each once."""
    return list(dict.fromkeys(job_id for one in drawn for job_id in (*one.after, one.job.id)))


def _recipe(job: Job, seed: int, outcome: Outcome) -> Mapping[str, Any]:
    return recipe(request_record(job.request, (), None), seed, outcome.model_revision)


async def one_job_body(gateway: Gateway, fields: DrawFields, job: Job, outcome: Outcome) -> bytes:
    """As `drawn_body`, of a call that was one job."""
    return await drawn_body(gateway, fields, job, [Drawn(Part(job.request), job, outcome)])


def job_fields(job: Job) -> DrawFields:
    """The fields that a call of this job would have, for jobs that are asked about after their call."""
    request = job.request
    return parse(TextFields, {"prompt": request.prompt, "batch_size": request.n, "seed": request.seed})
