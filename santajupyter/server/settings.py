"""The options and their defaults, each given once: SantaApp's traits take theirs from here."""

from __future__ import annotations

from dataclasses import dataclass

from ..engine.wire import Remote

BUILT_IN = "santa-mini"
SANTACODER = "bigcode/gpt_bigcode-santacoder"
# The environment variable with a remote engine's key, and the one that names a file with it.
REMOTE_API_KEY, REMOTE_API_KEY_FILE = "SANTAJUPYTER_REMOTE_API_KEY", "SANTAJUPYTER_REMOTE_API_KEY_FILE"


@dataclass(frozen=True)
class Settings:
    """SantaApp's traits, under the same names; their help says what they mean, and in which units.

    ``keep_prompts`` is on in a user's own server alone: nobody measures with what another process has read.

    ``remote``: the four of a remote engine, None where there is none; its model is ``model`` then.
    """

    model: str = SANTACODER
    revision: str = ""
    family: str = ""
    device: str = "auto"
    dtype: str = "auto"
    prompt_order: str = "auto"
    min_probability: float | None = None
    cache_bytes: int = 192 * 2**20
    prompt_lookup: int = 4
    cache_model: bool | None = None
    keep_prompts: bool = False
    kernel_names: bool = True
    check: bool = True
    alike_lines: bool = True
    allowed_models: tuple[str, ...] = ()
    fallback_model: str = BUILT_IN
    idle_unload: float = 0.0
    max_queue: int = 16
    shared: bool = False
    max_user_queue: int = 6
    request_timeout: float = 60.0
    emit_events: bool = False
    remote: Remote | None = None
    remote_values: bool = False
