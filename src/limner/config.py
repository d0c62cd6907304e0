"""The server's settings: frozen, parsed once, passed down.

Owns names, types, defaults and bounds of every setting, and reading them from a TOML file and LIMNER_* variables.
A key that is not known is an error that suggests the nearest one.
"""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias
from urllib.parse import urlsplit

import platformdirs
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from limner.errors import InvalidRequest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

KIB, MIB = 1024, 1024 * 1024


def _default_data_dir() -> Path:
    return Path(platformdirs.user_data_dir("limner", appauthor=False))


def _split(value: object) -> object:
    """A list as text, which is how the environment has it: separated by commas, or as JSON."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return tuple(part for part in map(str.strip, value.split(",")) if part)
    try:
        return tuple(json.loads(value))
    except ValueError:
        raise ValueError('not a list; write it as a,b or as JSON: ["a", "b"]') from None


# NoDecode: pydantic-settings would take the environment's lists as JSON only.
Texts: TypeAlias = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?", re.ASCII)
PEPPER = re.compile(r"([0-9a-fA-F]{2}){32,}")
SECRETS = frozenset({"secret", "vision_key", "language_key"})  # whose values no message repeats


class Settings(BaseSettings):
    """All settings; each can stand in ``limner.toml`` under its name or in the environment as ``LIMNER_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="LIMNER_", frozen=True, extra="forbid", hide_input_in_errors=True)

    models: Texts = Field((), description="Models to serve; empty serves the embedded sketch.")
    stand_in: str = Field(
        "", description="Served model that answers for all others of the catalogue (an emulator); empty: none."
    )
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 lets the system choose.")
    data: Path = Field(default_factory=_default_data_dir, description="Directory for everything the server writes.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="How much is logged.")
    public_url: str | None = Field(None, description="Base of links handed out; by default the request's own host.")

    unknown_parameters: Literal["refuse", "warn"] = Field(
        "refuse", description="Whether an unknown request parameter is an error or a warning."
    )
    queue_limit: int = Field(64, ge=1, le=100_000, description="Jobs waiting or running before new ones get 429.")
    default_timeout_s: float = Field(180.0, gt=0, le=86_400, description="A job's deadline when it names none.")
    max_timeout_s: float = Field(3600.0, gt=0, le=86_400, description="The longest deadline a request may ask for.")
    drain_s: int = Field(30, ge=0, le=86_400, description="How long running work may go on after SIGTERM.")
    link_lifetime_s: float = Field(7 * 86_400, gt=0, le=366 * 86_400, description="How long signed links work.")

    database: str = Field("", description="sqlite:///PATH, sqlite:// (in memory) or postgresql://...; empty: in data.")
    blobs: str = Field(
        "", description="Where pictures lie: s3://bucket/prefix, gs://bucket/prefix, a directory; empty: in data."
    )
    keep_images_s: float = Field(7 * 86_400, gt=0, le=3660 * 86_400, description="How long finished pictures are kept.")
    keep_jobs_s: float = Field(30 * 86_400, gt=0, le=3660 * 86_400, description="How long ended jobs are remembered.")
    embed_recipe: bool = Field(True, description="Whether pictures carry the parameters they were made with.")
    draws: bool = Field(True, description="Whether this process draws; off, others on the same database do.")
    jobs_limit: int = Field(10_000, ge=1, le=10_000_000, description="Jobs queued or running, in all, before 429.")
    jobs_at_once: int = Field(0, ge=0, le=10_000, description="Jobs this process works on at once; 0: twice max_batch.")
    lease_s: float = Field(
        30.0, ge=2, le=3600, description="After this long without a sign of life a job is taken over."
    )
    max_crashes: int = Field(3, ge=1, le=100, description="How often a job's process may die before the job fails.")
    client_left: Literal["cancel", "detach"] | Annotated[float, Field(ge=0, le=1)] = Field(
        "cancel", description="What a waiting client's leaving does to its job; a number detaches past that progress."
    )

    chat_reply_form: Literal["auto", "images", "parts", "markdown"] = Field(
        "auto", description="Where chat replies carry pictures unless the request says; auto: as its kind has it."
    )
    chat_reply_urls: Literal["auto", "data", "link"] = Field(
        "auto", description="Whether chat replies carry the pictures themselves or links; auto: as the sender expects."
    )
    chat_progress: Literal["comments", "words"] = Field(
        "comments", description="Whether streamed chat tells of progress in comments or in words beside the answer."
    )
    suite: Literal["auto", "yes", "no"] = Field(
        "auto", description="Whether the embedded reader, cut-out and enlarger are served too; auto: with sketch."
    )
    grounder: str = Field(
        "embedded:grounder",
        min_length=1,
        description="Model that finds what words name in a picture (CLIPSeg, Grounding DINO, SAM 3).",
    )
    vision_url: str = Field("", description="OpenAI-compatible API that answers questions about pictures; empty: none.")
    vision_model: str = Field("", description="Its model, which is served here under that name.")
    vision_key: str = Field("", repr=False, description="Its API key.")
    language_model: str = Field(
        "", description="Model that converses and calls the others: one served here, or language_url's; empty: none."
    )
    language_url: str = Field("", description="OpenAI-compatible API of the language model; empty: it is served here.")
    language_key: str = Field("", repr=False, description="Its API key.")
    agent_rounds: int = Field(4, ge=1, le=20, description="How often the language model may call others in one answer.")
    agent_timeout_s: float = Field(120.0, gt=0, le=3600, description="Deadline of one answer of the language model.")

    open: Literal["auto", "yes", "no"] = Field(
        "auto", description="Whether no API key is needed; auto: only on loopback while no key exists."
    )
    secret: str = Field(
        "",
        repr=False,
        description="Secret (64 hex digits or more) for keys, links and webhooks, one for all servers; empty: in data.",
    )
    credits_per_device_s: float = Field(
        1.0, ge=0, le=1_000_000, description="Price of a second of device time, in credits."
    )
    webhooks: bool = Field(True, description="Whether jobs may name a URL that is told of their end.")
    webhook_allow: Texts = Field((), description="Private networks (CIDR) that webhooks may reach.")
    log_format: Literal["text", "json"] = Field("text", description="How log lines look.")
    log_prompts: bool = Field(False, description="Whether log lines carry prompts.")
    metrics: bool = Field(True, description="Whether /metrics answers.")
    otlp_endpoint: str = Field("", description="OpenTelemetry collector (OTLP over HTTP) for traces; empty: none.")
    trace_share: float = Field(0.05, ge=0, le=1, description="Share of requests that are traced.")

    max_body_bytes: int = Field(256 * MIB, ge=KIB, description="Largest request body.")
    max_json_bytes: int = Field(MIB, ge=KIB, description="Largest JSON body of a request without pictures.")
    max_bodies_bytes: int = Field(1024 * MIB, ge=KIB, description="Request bodies in work at once, in all.")
    max_image_bytes: int = Field(50 * MIB, ge=KIB, description="Largest single input file.")
    max_image_pixels: int = Field(64 * 1024 * 1024, ge=1, description="Most pixels in one input picture.")
    max_held_pixels: int = Field(
        512 * 1024 * 1024, ge=1, description="Decoded input pixels that requests may hold at once, in all."
    )
    max_images: int = Field(16, ge=1, le=64, description="Most input pictures in one request.")
    max_work: int = Field(
        16 * 1024 * 1024 * 200 * 10, ge=1, description="Largest width x height x n x steps of one request."
    )
    fetch: bool = Field(True, description="Whether input pictures may be given as http(s) URLs.")
    fetch_allow: Texts = Field((), description="Private networks (CIDR) that input URLs may reach.")
    fetch_timeout_s: float = Field(15.0, gt=0, le=600, description="Deadline for fetching one input URL.")

    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field("auto", description="Weights' type in memory.")
    lanes: int = Field(0, ge=0, le=256, description="Executors on a CPU; 0 means one per core.")
    max_batch: int = Field(8, ge=1, le=256, description="Most denoiser calls merged into one forward pass.")

    @property
    def database_url(self) -> str:
        """Where the database is: as set, or an SQLite file in the data directory."""
        file = str(self.data / "limner.db").replace("%", "%25").replace("?", "%3F")  # may be any bytes: not quote()
        return self.database or f"sqlite:///{file}"

    @field_validator("models")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(map(str.strip, value)):  # as a path, nothing is the current directory too
            raise ValueError("name a model")
        return value

    @field_validator("data", mode="before")
    @classmethod
    def _names_a_directory(cls, value: object) -> object:
        if value == "":  # Path("") is the current directory, which nobody means by nothing
            raise ValueError("name a directory")
        return os.path.expanduser(value) if isinstance(value, str) else value

    @field_validator("public_url", "vision_url", "language_url")
    @classmethod
    def _is_a_base_url(cls, value: str | None) -> str | None:
        if value and not _is_base_url(value):
            raise ValueError("not an http(s) URL; write it like https://images.example.org")
        return value

    @field_validator("fetch_allow", "webhook_allow")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)
        return value

    @field_validator("secret")
    @classmethod
    def _is_a_pepper(cls, value: str) -> str:
        if value and not PEPPER.fullmatch(value):
            raise ValueError("not a secret of 64 hex digits or more; make one with: openssl rand -hex 32")
        return value

    @field_validator("device")
    @classmethod
    def _is_a_device(cls, value: str) -> str:
        if not DEVICE.fullmatch(value):
            raise ValueError("unknown device; allowed: auto, cpu, cuda, cuda:N or mps")
        return value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.default_timeout_s > self.max_timeout_s:
            raise ValueError(
                f"default_timeout_s ({self.default_timeout_s:g}) is larger than max_timeout_s ({self.max_timeout_s:g})"
            )
        if bool(self.vision_url) != bool(self.vision_model):
            raise ValueError("vision_url and vision_model go together: the API and the name of its model")
        if self.language_url and not self.language_model:
            raise ValueError("language_url needs language_model, the name of its model")
        return self


def _is_base_url(text: str) -> bool:
    """Whether paths can be appended to ``text``: http(s), a host, no query, nothing that cannot stand in a URL."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # a bad one raises as well
    except ValueError:
        return False
    printable = text.isascii() and text.isprintable() and " " not in text
    return printable and parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query + parts.fragment


ENV_PREFIX = "LIMNER_"
CLIENT_VARIABLES = frozenset({"LIMNER_SERVER", "LIMNER_API_KEY"})  # read by the command line, not by the server
SERVICE_LINK = "LIMNER_SERVICE_HOST"


def load_settings(config: Path | None = None, overrides: Mapping[str, object] | None = None) -> Settings:
    """Read the settings: ``overrides`` (None values count as absent) over the environment over the file's values.

    Raises InvalidRequest naming the file or variable, the key, the value and what is allowed.
    """
    if SERVICE_LINK in os.environ:
        raise InvalidRequest(
            f"{SERVICE_LINK} is in the environment: Kubernetes describes a service called limner there, and in "
            "LIMNER_PORT; set enableServiceLinks: false for the pod",
            param="service_host",
        )
    in_environment = [name.removeprefix(ENV_PREFIX).lower() for name in os.environ if _is_setting_variable(name)]
    _refuse_unknown(in_environment, "the environment")
    values = {} if config is None else _read_file(config)
    chosen = {key: value for key, value in (overrides or {}).items() if value is not None}
    from_file = {key: value for key, value in values.items() if key not in in_environment}
    try:
        return Settings(**{**from_file, **chosen})
    except ValidationError as error:
        raise InvalidRequest(_explain(error)) from error


def _is_setting_variable(name: str) -> bool:
    return name.startswith(ENV_PREFIX) and name not in CLIENT_VARIABLES


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRequest(f"cannot read the configuration file {path}: {error.strerror}", param="config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} is not valid TOML: {error}", param="config") from error
    _refuse_unknown(values, str(path))
    return values


def _refuse_unknown(keys: Iterable[str], where: str) -> None:
    known = list(Settings.model_fields)
    for key in keys:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known settings: {', '.join(known)}"
            raise InvalidRequest(f"unknown setting {key!r} in {where}{hint}", param=key)


def _explain(error: ValidationError) -> str:
    return "invalid settings: " + "; ".join(map(_line, error.errors()))


def _line(error: "ErrorDetails") -> str:
    message = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:  # of several settings together: their names and values stand in the message
        return message
    hidden = error["loc"][0] in SECRETS or "@" in str(error.get("input"))  # a URL may hold a password
    given = "" if hidden else f" (got {error.get('input')!r})"
    return f"{'.'.join(map(str, error['loc']))}: {message}{given}"
