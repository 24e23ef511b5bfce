"""The settings as pydantic-settings reads them; a file of its own because importing that takes 0.2 s."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from workflow.info_task import POOL_MAX


class SettingsModel(BaseSettings):
    """How to run."""

    model_config = SettingsConfigDict(env_prefix="WORKFLOW_", env_ignore_empty=True, extra="forbid", frozen=True)

    jobs: Annotated[int, Field(ge=1, le=POOL_MAX)] | None = None
    state_dir: Path | None = None
    color: Literal["auto", "always", "never"] = "auto"
    verbosity: Literal["quiet", "normal", "verbose"] = "normal"


def read(said: Mapping[str, object], table: Mapping[str, object]) -> SettingsModel:
    """Answer the settings: what was said on the command line, then the environment, then the project's table.

    Raises pydantic's ValidationError.
    """

    class WithTable(SettingsModel):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # their names are part of the call
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            project: dict[str, Any] = {str(name).replace("-", "_"): value for name, value in table.items()}
            return init_settings, env_settings, InitSettingsSource(settings_cls, project)

    return WithTable(**dict(said))  # type: ignore[arg-type]
