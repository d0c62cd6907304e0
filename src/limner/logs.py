"""Log lines: text or JSON, each with the ids of the request and the job that it is about.

Owns how a line looks and the ids of the current task; what is logged is everybody's own business, through the standard
``logging``. A record's ``fields`` (``extra={"fields": {...}}``) become keys of a JSON line and ``key=value`` in text.
"""

import json
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from limner.config import Settings
from limner.core import ParamValue, Request

request_id: ContextVar[str] = ContextVar("request_id", default="")
job_id: ContextVar[str] = ContextVar("job_id", default="")
trace_id: ContextVar[str] = ContextVar("trace_id", default="")
HTTP_CLIENTS = ("httpx2", "httpx")  # ours, and that of libraries
IDS = {"request_id": request_id, "job_id": job_id, "trace_id": trace_id}


def bind_request(name: str) -> None:
    """Lines of this task, and of what it starts from now on, are about this HTTP request."""
    request_id.set(name)


def bind_trace(name: str) -> None:
    """Lines of this task, and of what it starts from now on, belong to this trace; "" to none."""
    trace_id.set(name)


def bind_job(name: str) -> None:
    """Lines of this task, and of what it starts from now on, are about this job."""
    job_id.set(name)


def configure(settings: Settings) -> None:
    """Send all lines, those of libraries too, to stderr as the settings say.

    Like `logging.basicConfig`, does nothing where handlers exist: whoever embeds the server has decided already.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else TextLines())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    if settings.log_level == "info":
        logging.getLogger("alembic").setLevel("WARNING")  # every start would tell of plug-ins
        for client in HTTP_CLIENTS:  # every call would tell its address, with what is secret in it
            logging.getLogger(client).setLevel("WARNING")


class TextLines(logging.Formatter):
    """``time level logger: message key=value ... [request job trace]``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        """The line without a traceback."""
        fields = "".join(f" {key}={_word(value)}" for key, value in _fields(record).items())
        ids = " ".join(_ids().values())
        return super().formatMessage(record) + fields + (f" [{ids}]" if ids else "")


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time`` (UTC), ``level``, ``logger``, ``message``, ids, fields, ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_ids(),
        }
        line |= {key: value for key, value in _fields(record).items() if key not in line}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)  # ASCII: whatever bytes a name was made of, the line can be read


def json_line(level: str, logger: str, message: str, fields: Mapping[str, object]) -> str:
    """A line such as `JsonLines` makes, for what is to be told whatever the log's level."""
    told = {"name": logger, "levelname": level.upper(), "msg": message, "fields": fields}
    return JsonLines().format(logging.makeLogRecord(told))


def request_fields(request: Request, *, prompts: bool) -> dict[str, object]:
    """What a line about a job says of its request: no pictures, and texts only with ``prompts``."""
    fields: dict[str, object] = {
        "key": request.owner,
        "model": request.model,
        "operation": request.operation.value,
        "size": None if request.size is None else str(request.size),
        "n": request.n,
        "seed": request.seed,
        "inputs": len(request.inputs) + (request.mask is not None),
        "format": request.output.format,
        "params": {name: _plain(v) for name, v in request.params.items() if prompts or not _is_text(name, v)},
    }
    return {**fields, "prompt": request.prompt} if prompts else fields


def _is_text(name: str, value: ParamValue) -> bool:
    """Whether a parameter carries words of the client's, such as ``negative_prompt``. Types are not known here:
    choices of several words count as well."""
    return isinstance(value, str) and ("prompt" in name or len(value.split()) > 1)


def _plain(value: ParamValue) -> object:
    if isinstance(value, tuple):
        return [{"path": lora.path, "scale": lora.scale} for lora in value]
    return value


def _ids() -> dict[str, str]:
    return {name: value for name, variable in IDS.items() if (value := variable.get())}


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, Mapping) else {}


def _word(value: object) -> str:
    """A value without a space or line break that is not in quotes."""
    if isinstance(value, str) and value.isprintable() and value and not set(value) & set(' "='):
        return value
    return json.dumps(value, default=str)
