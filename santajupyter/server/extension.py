"""The Jupyter server extension: its configuration, its routes, its life."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.services.contents.filemanager import FileContentsManager
from traitlets import Bool, Enum, Float, Int, List, Unicode, default

from ..engine.wire import Remote
from ..prompt.fim import FAMILIES, ORDERS
from . import metrics
from .handlers import routes
from .service import CompletionService
from .settings import REMOTE_API_KEY, REMOTE_API_KEY_FILE, Settings

EVENT_SCHEMA = Path(__file__).with_name("suggestion-event.yaml")
EVENT_ID = "https://schema.jupyter.org/santajupyter/suggestion/v1"


class SantaApp(ExtensionApp):
    """Serves code completions from a model on this host."""

    name = "santajupyter"
    extension_url = "/lab"
    load_other_extensions = True

    model = Unicode(
        Settings.model,
        help="The model: a Hugging Face hub id, a folder with config.json, tokenizer.json and safetensors, "
        "or 'santa-mini', the built-in one.",
    ).tag(config=True)
    revision = Unicode(
        Settings.revision,
        help="The hub revision (branch, tag or commit) of the model; empty: main. A cached copy is used "
        "as it is; `santajupyter download` fetches the newest.",
    ).tag(config=True)
    family = Enum(
        ["", *FAMILIES],
        Settings.family,
        help="The model's fill-in-the-middle format; empty: recognised from its tokenizer. A model of no "
        "known family completes left to right.",
    ).tag(config=True)
    device = Unicode(
        Settings.device,
        help="Where the model runs: 'auto' (a GPU where there is one), 'cpu', 'cuda', 'cuda:1', 'mps'.",
    ).tag(config=True)
    dtype = Enum(
        ["auto", "float16", "bfloat16", "float32", "int8", "int4"],
        Settings.dtype,
        help="The weights' number format. 'auto': float16 on a GPU; on a CPU int8, float32 for small models, "
        "and bfloat16 for architectures that only transformers runs (all but GPTBigCode and those like "
        "Llama). 'int8' and 'int4' aren't for these, nor for GPUs; 'int4' takes a third less memory than "
        "'int8', and is less exact: a little on Linux with x86-64, a lot elsewhere.",
    ).tag(config=True)
    prompt_order = Enum(
        list(ORDERS),
        Settings.prompt_order,
        help="'spm' puts the suffix before the prefix, so that a keystroke only lengthens the prompt; 'psm' "
        "the other way round. 'auto': 'spm' where the family was trained on it.",
    ).tag(config=True)
    min_probability = Float(
        Settings.min_probability,
        allow_none=True,
        min=0.0,
        max=1.0,
        help="While you type, suggestions of 'model' end before the word that makes all of them less likely "
        "than this, by the model's own reckoning: 0 shows everything, 0.5 what the model is rather sure of. "
        "None: the model's own limit, which only santa-mini has; for others 0.1 where a line is asked for.",
    ).tag(config=True)
    cache_bytes = Int(
        Settings.cache_bytes,
        min=0,
        help="How much of the model's device memory its prompt cache may fill, in bytes: the more, the more "
        "notebooks and places in them go on without being read again. The newest prompt is always kept.",
    ).tag(config=True)
    prompt_lookup = Int(
        Settings.prompt_lookup,
        min=0,
        max=7,
        help="How many tokens to guess at a time from where the last ones stood before. A wrong guess costs "
        "little, a right one saves a step, and the output is that of plain greedy decoding. Only on a CPU in "
        "float32, int8 and int4: elsewhere rounding would change it. 0: none.",
    ).tag(config=True)
    cache_model = Bool(
        Settings.cache_model,
        allow_none=True,
        help="Whether a cache language model is interpolated: what followed the same words elsewhere in "
        "the notebook becomes likelier. That is worth much to a small model. None: as the model's "
        "config.json says; only santa-mini's says yes.",
    ).tag(config=True)
    keep_prompts = Bool(
        True,
        help="Whether what the model has computed of the last four prompts, and their tokens, are kept on "
        "disk when it is unloaded or the server ends, so that they needn't be read again: where it runs in "
        "int8 or int4 on a CPU, in the user's cache folder, which nobody else may read; never where several "
        "users share a server.",
    ).tag(config=True)
    kernel_names = Bool(
        Settings.kernel_names,
        help="Where the kernel knows all columns, keys, attributes or parameters that can come next, or "
        "where code reads a file, begin completions with one of those that are there.",
    ).tag(config=True)
    check = Bool(
        Settings.check,
        help="Show no Python that doesn't parse at its place, or names what neither the notebook nor the "
        "kernel has; another candidate is looked for instead.",
    ).tag(config=True)
    alike_lines = Bool(
        Settings.alike_lines,
        help="Where the lines above and below the cursor are alike, and what differs in them follows a rule, "
        "go on as they do.",
    ).tag(config=True)
    allowed_models = List(
        Unicode(),
        help="The models that a request to 'load' may switch to; empty: 'model' and 'fallback_model', and "
        "SantaCoder where 'model' is 'santa-mini'.",
    ).tag(config=True)
    fallback_model = Unicode(
        Settings.fallback_model,
        help="The model that answers while 'model' is being loaded or can't be had, and while that reads a "
        "long prompt on a CPU; empty: none. "
        "Whole blocks that somebody asks for wait for 'model' while it is on its way.",
    ).tag(config=True)
    preload = Bool(False, help="Load the model when the server starts, instead of at its first use.").tag(
        config=True
    )
    engine = Enum(
        ["local", "remote"],
        "local",
        help="'remote': another server has the model, and speaks OpenAI's text completions: vLLM, llama.cpp, "
        "`santajupyter serve`. Then code leaves this host; 'fallback_model' still answers here while that "
        "server is away.",
    ).tag(config=True)
    remote_url = Unicode(
        "",
        help="The remote engine's address, such as https://gpu.example:8000/v1. SSL_CERT_FILE names the "
        "certificates to trust, HTTPS_PROXY a proxy.",
    ).tag(config=True)
    remote_model = Unicode("", help="Its name for the model; empty: 'model'.").tag(config=True)
    remote_api_key = Unicode(
        help="Its key. Better given in the environment: as 'remote_api_key_env' says, or in a file that "
        "SANTAJUPYTER_REMOTE_API_KEY_FILE names.",
    ).tag(config=True)
    remote_api_key_env = Unicode(
        REMOTE_API_KEY,
        help="The environment variable that has its key: JUPYTERHUB_API_TOKEN where the remote engine is a "
        "service of the JupyterHub that started this server.",
    ).tag(config=True)
    remote_tokenizer = Unicode(
        "",
        help="A folder with the remote model's tokenizer.json, or its hub id; empty: the model's name.",
    ).tag(config=True)
    remote_values = Bool(
        Settings.remote_values,
        help="Whether a remote engine is sent values too that the page reads from the kernel, where the user "
        "has switched that on.",
    ).tag(config=True)
    idle_unload = Float(
        Settings.idle_unload,
        min=0.0,
        help="Unload the model, and free its memory, after so many seconds without use; 0: never.",
    ).tag(config=True)
    max_queue = Int(
        Settings.max_queue,
        min=1,
        help="How many requests may wait for the model or be in work; one more gets 429.",
    ).tag(config=True)
    request_timeout = Float(
        Settings.request_timeout, min=0.1, help="The time limit of a request, in seconds."
    ).tag(config=True)
    shared = Bool(
        Settings.shared,
        help="Several users ask this server, and each is known by name: they have equal shares of the model, "
        "and none may load or unload it, look into prompts, or have files read. `santajupyter serve --hub` "
        "sets this.",
    ).tag(config=True)
    max_user_queue = Int(
        Settings.max_user_queue,
        min=1,
        help="Where 'shared': how many requests of one user may be here at a time; one more gets 429.",
    ).tag(config=True)
    emit_events = Bool(
        Settings.emit_events,
        help="Whether pages tell Jupyter Server's event logger that a suggestion was shown, accepted or "
        "dismissed: counts and times, no text; suggestion-event.yaml is their schema.",
    ).tag(config=True)
    max_request_bytes = Int(
        4_000_000, min=1, help="The longest request body, in bytes; a longer one gets 413."
    ).tag(config=True)

    @default("remote_api_key")
    def _remote_api_key(self) -> str:
        path = os.environ.get(REMOTE_API_KEY_FILE)
        key = Path(path).read_text("utf-8") if path else os.environ.get(self.remote_api_key_env, "")
        return key.strip()

    def initialize_settings(self) -> None:
        names = Settings.__dataclass_fields__.keys() - {"remote"}
        values: dict[str, Any] = {name: getattr(self, name) for name in names}
        values["allowed_models"] = tuple(self.allowed_models)
        if self.engine == "remote":
            values["remote"] = Remote(self.remote_url, self.remote_api_key, self.remote_tokenizer)
            values["model"] = self.remote_model or self.model
        self.service = CompletionService(Settings(**values), self.log, self._root())
        if self.emit_events:
            assert self.serverapp is not None and self.serverapp.event_logger is not None
            self.serverapp.event_logger.register_event_schema(EVENT_SCHEMA)
            self.serverapp.event_logger.add_listener(schema_id=EVENT_ID, listener=_count_suggestion)

    def _root(self) -> Path | None:
        """Where the notebooks lie; None where they are no files here, others' or with kernels elsewhere."""
        assert self.serverapp is not None
        if self.shared:
            return None
        manager = self.serverapp.contents_manager
        if self.serverapp.gateway_config.gateway_enabled or not isinstance(manager, FileContentsManager):
            return None
        return Path(manager.root_dir) if manager.root_dir else None

    def initialize_handlers(self) -> None:
        assert self.serverapp is not None
        self.handlers.extend(routes("/", self.service, self.max_request_bytes))

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        # What a server holds from its start, some 200,000 objects, stays. Each look at it by the garbage
        # collector would stop the event loop for 200 ms.
        if not gc.get_freeze_count():
            gc.collect()
            gc.freeze()
        if self.preload:
            await self.service.engines.start()

    async def stop_extension(self) -> None:
        await self.service.close()


async def _count_suggestion(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
    """As Jupyter's event logger calls it, with what the schema allows."""
    metrics.SUGGESTIONS.labels(data["action"]).inc()
