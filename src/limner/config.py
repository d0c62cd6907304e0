"""The server's settings: frozen, parsed once, passed down.

Owns names, types, defaults and bounds of every setting, and reading them from a TOML file and LIMNER_* variables.
A key that is not known is an error that suggests the nearest one.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from limner.errors import InvalidRequest

KIB, MIB = 1024, 1024 * 1024


def _default_data_dir() -> Path:
    return Path(platformdirs.user_data_dir("limner", appauthor=False))


class Settings(BaseSettings):
    """All settings; each can stand in ``limner.toml`` under its name or in the environment as ``LIMNER_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="LIMNER_", frozen=True, extra="forbid")

    models: tuple[str, ...] = Field((), description="Models to serve; empty serves the embedded sketch.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
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
    link_lifetime_s: float = Field(7 * 86_400, gt=0, le=366 * 86_400, description="How long signed links work.")

    max_body_bytes: int = Field(256 * MIB, ge=KIB, description="Largest request body.")
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
    fetch_allow: tuple[str, ...] = Field((), description="Private networks (CIDR) that input URLs may reach.")
    fetch_timeout_s: float = Field(15.0, gt=0, le=600, description="Deadline for fetching one input URL.")

    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field("auto", description="Weights' type in memory.")
    lanes: int = Field(0, ge=0, le=256, description="Executors on a CPU; 0 means one per core.")
    max_batch: int = Field(8, ge=1, le=256, description="Most samples merged into one forward pass.")


ENV_PREFIX = "LIMNER_"
CLIENT_VARIABLES = frozenset({"LIMNER_SERVER", "LIMNER_API_KEY"})  # read by the command line, not by the server


def load_settings(config: Path | None = None, overrides: Mapping[str, object] | None = None) -> Settings:
    """Read the settings: ``overrides`` (None values count as absent) over the environment over the file's values.

    Raises InvalidRequest naming the file or variable, the key, the value and what is allowed.
    """
    _refuse_unknown(
        (name.removeprefix(ENV_PREFIX).lower() for name in os.environ if _is_setting_variable(name)), "the environment"
    )
    values = {} if config is None else _read_file(config)
    chosen = {key: value for key, value in (overrides or {}).items() if value is not None}
    in_environment = {name.removeprefix(ENV_PREFIX).lower() for name in os.environ if _is_setting_variable(name)}
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
    lines = (f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e.get('input')!r})" for e in error.errors())
    return "invalid settings: " + "; ".join(lines)
