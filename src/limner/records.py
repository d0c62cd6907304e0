"""Requests, warnings and errors as JSON and back: the form in which a job outlives its process.

Owns that form, the fingerprint of a request and the recipe that is given out for a picture. Pictures are not in it,
only the keys of their blobs and what is needed to check and restore them.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from limner import __version__
from limner.core import Lora, Operation, Output, ParamValue, Picture, PixelMode, Request, Said, Size, Warning
from limner.errors import Cancelled, ClientLeft, InternalError, LimnerError
from limner.store.rows import ImageRow, JobRow

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredInput:
    """An input picture put away: its blob's key, its mode and size, and the SHA-256 of its decoded pixels."""

    key: str
    sha256: str
    mode: PixelMode
    size: Size

    def as_json(self) -> dict[str, Any]:
        """Its form in a job's record."""
        return {"key": self.key, "sha256": self.sha256, "mode": self.mode, "size": str(self.size)}

    @classmethod
    def of(cls, record: Json) -> "StoredInput":
        """As `as_json` wrote it."""
        return cls(record["key"], record["sha256"], record["mode"], Size.parse(record["size"]))


def pixels_sha256(picture: Picture) -> str:
    """SHA-256 of the decoded pixels; milliseconds a megabyte: not for the event loop."""
    return hashlib.sha256(picture.pixels).hexdigest()


def request_record(request: Request, inputs: Sequence[StoredInput], mask: StoredInput | None) -> dict[str, Any]:
    """The request as JSON, with its pictures by key."""
    return {
        "operation": request.operation.value,
        "model": request.model,
        "prompt": request.prompt,
        "inputs": [stored.as_json() for stored in inputs],
        "mask": None if mask is None else mask.as_json(),
        "n": request.n,
        "size": None if request.size is None else str(request.size),
        "seed": request.seed,
        "output": asdict(request.output),
        "params": {name: _value_record(value) for name, value in request.params.items()},
        "previews": request.previews,
        "timeout_s": request.timeout_s,
        **({"history": [asdict(said) for said in request.history]} if request.history else {}),
    }


def request_of(record: Json, *, owner: str, inputs: Sequence[Picture] = (), mask: Picture | None = None) -> Request:
    """The request that `request_record` wrote, with its pictures, if they have been read, in their places."""
    return Request(
        operation=Operation(record["operation"]),
        model=record["model"],
        prompt=record["prompt"],
        inputs=tuple(inputs),
        mask=mask,
        n=record["n"],
        size=None if record["size"] is None else Size.parse(record["size"]),
        seed=record["seed"],
        output=Output(**record["output"]),
        params={name: _value_of(value) for name, value in record["params"].items()},
        previews=record["previews"],
        timeout_s=record["timeout_s"],
        owner=owner,
        history=tuple(Said(**said) for said in record.get("history", ())),
    )


def stored_inputs(record: Json) -> tuple[StoredInput, ...]:
    """The record's input pictures, in order; the mask, where there is one, comes last."""
    found = [StoredInput.of(stored) for stored in record["inputs"]]
    return (*found, StoredInput.of(record["mask"])) if record["mask"] else tuple(found)


def input_sizes(record: Json) -> tuple[Size, ...]:
    """The sizes of the record's input pictures."""
    return tuple(StoredInput.of(stored).size for stored in record["inputs"])


def attached_inputs(record: Json) -> tuple[int, ...]:
    """The places of the inputs that came with this turn of a conversation."""
    return tuple(record.get("attached", ()))


def _value_record(value: ParamValue) -> Any:
    return [asdict(lora) for lora in value] if isinstance(value, tuple) else value


def _value_of(record: Any) -> ParamValue:
    return tuple(Lora(**lora) for lora in record) if isinstance(record, list) else cast(ParamValue, record)


def fingerprint(request: Request, form: str = "") -> str:
    """Tells one request from another, as asked: two with the same one want the same pictures in the same ``form``.

    How long to wait and how many previews to send do not count. Hashes every picture: not for the event loop.
    """
    pictures = [(picture.mode, str(picture.size), pixels_sha256(picture)) for picture in request.inputs]
    mask = None if request.mask is None else pixels_sha256(request.mask)
    how = {"timeout_s": None, "previews": None, "form": form}
    asked = request_record(request, (), None) | {"inputs": pictures, "mask": mask} | how
    text = json.dumps(asked, sort_keys=True)  # not orjson: nothing is checked yet, numbers may have any length
    return hashlib.sha256(text.encode()).hexdigest()


def warning_records(warnings: Sequence[Warning]) -> tuple[dict[str, Any], ...]:
    """Warnings as JSON."""
    return tuple({"param": one.param, "code": one.code, "message": one.message} for one in warnings)


def warnings_of(records: Sequence[Json]) -> tuple[Warning, ...]:
    """As `warning_records` wrote them."""
    return tuple(Warning(**record) for record in records)


def error_record(error: LimnerError) -> dict[str, Any]:
    """An error as JSON: code, type, status, message, parameter."""
    return {
        "code": error.code,
        "type": error.type,
        "status": error.status,
        "message": error.message,
        "param": error.param,
        "retry_after_s": error.retry_after_s,
    }


def error_of(record: Json) -> LimnerError:
    """The error of that code; one that this version does not know is an InternalError."""
    kind = _KINDS.get(record["code"], InternalError)
    return kind(record["message"], param=record.get("param"), retry_after_s=record.get("retry_after_s"))


def cancellation_of(record: Json) -> ClientLeft:
    """Why a job was cancelled; for a reason that this version does not know, that it was."""
    error = error_of(record)
    return error if isinstance(error, ClientLeft) else Cancelled(error.message)


def _kinds(kind: type[LimnerError]) -> dict[str, type[LimnerError]]:
    known = {kind.code: kind}
    for narrower in kind.__subclasses__():
        known |= _kinds(narrower)
    return known


_KINDS = _kinds(LimnerError) | {InternalError.code: InternalError}


def recipe_of(job: JobRow, image: ImageRow) -> dict[str, Any]:
    """Everything that made a picture, its own seed included; enough to draw it again."""
    result = job.result or {}
    return {
        "object": "recipe",
        "id": image.id,
        "job_id": job.id,
        "index": image.index,
        **recipe(job.request, image.seed, result.get("model_revision")),
        "effective": {**job.request.get("effective", {}), "seed": image.seed, "seeds": [image.seed], "n": 1},
        "files_sha256": result.get("files_sha256", {}),
        "warnings": [*job.warnings, *result.get("warnings", ())],
        "timings_s": result.get("timings_s", {}),
        "versions": result.get("versions", {}),
        "created_at": job.created_at_s,
        "finished_at": job.ended_at_s,
    }


def recipe(record: Json, seed: int, model_revision: str | None) -> dict[str, Any]:
    """What goes into a picture's own metadata: the request as it was carried out, with this picture's seed."""
    kept = ("operation", "model", "prompt", "size", "output", "params")
    return {
        **{name: record[name] for name in kept},
        "seed": seed,
        "model_revision": model_revision,
        "inputs_sha256": [stored["sha256"] for stored in record["inputs"]],
        "mask_sha256": record["mask"]["sha256"] if record["mask"] else None,
        "limner": __version__,
    }
