"""The server's settings: frozen, parsed once, passed down.

Owns names, types, defaults and bounds of every setting, and reading them from a TOML file and LIMNER_* variables.
A key that is not known is an error that suggests the nearest one.
"""

from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

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
    max_image_bytes: int = Field(50 * MIB, ge=KIB, description="Largest single input file.")
    max_image_pixels: int = Field(64 * 1024 * 1024, ge=1, description="Most pixels in one input picture.")
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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line over environment over file: the file's values arrive below the environment's."""
        return init_settings, env_settings, _file_source(settings_cls, init_settings)


def _file_source(settings_cls: type[BaseSettings], init: PydanticBaseSettingsSource) -> PydanticBaseSettingsSource:
    raise NotImplementedError
