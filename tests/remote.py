"""A server on this machine that speaks OpenAI's text completions, and does what a test tells it to."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from santajupyter.prompt.tokenizer import CodeTokenizer

KEY = "a-test-key"


@dataclass
class Remote:
    """``forms``: how it takes prompts. ``pieces``: of each answer, with their log-probabilities.

    ``chatty``: these come as in chats. ``answers``: what completions that stream are answered with, each
    once, before they work: a status, "echo" for a refusal that quotes the prompt, or "html" or "odd" instead
    of a piece, "break" or "hang" after one.
    ``asked``: their bodies. ``left``: how many of them were left before their end. ``constraint``: the field
    of a body by which it can be made to choose among texts, of which the first one is the likeliest then, or
    to begin with one; others are refused, or passed over where it is ``lax``. ``most``: texts at a time.
    """

    tokenizer: CodeTokenizer
    model: str = "some/model"
    forms: tuple[str, ...] = ("ids",)
    pieces: tuple[tuple[str, float], ...] = ((" 1", -0.1), (" +", -0.1), (" 2", -3.0))
    chatty: bool = False
    constraint: str = ""
    lax: bool = False
    most: int = 8
    answers: list[int | str] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    left: int = 0
    url: str = ""
    key: str = KEY


@contextmanager
def serving(remote: Remote, port: int = 0) -> Iterator[Remote]:
    """The server, from here to there."""
    server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"remote": remote}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    remote.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield remote
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    remote: Remote

    def do_GET(self) -> None:
        self._answer({"data": [{"id": self.remote.model, "max_model_len": 512}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["prompt"]
        form = "ids" if isinstance(prompt, list) else "suffix" if "suffix" in body else "text"
        if self.headers.get("Authorization") != f"Bearer {self.remote.key}":
            self._answer({"error": {"message": "who are you?"}}, 401)
        elif form not in self.remote.forms and form != "text":
            self._answer({"error": {"message": f"{form} is not supported"}}, 400)
        elif {"structured_outputs", "grammar"} & body.keys() - {
            self.remote.constraint
        } and not self.remote.lax:
            self._answer({"error": {"message": "what is that?"}}, 400)
        elif body.get("n", 1) > self.remote.most:
            self._answer({"error": {"message": "so many?"}}, 400)
        elif body.get("stream"):
            self.remote.asked.append(body)
            self._stream(body, self.remote.answers.pop(0) if self.remote.answers else "works")
        elif self.remote.constraint in body:
            choices = [
                {"index": at, "text": text, "logprobs": {"tokens": [text], "token_logprobs": [-0.1 - at]}}
                for at, text in enumerate(_texts(body[self.remote.constraint]))
            ]
            self._answer({"choices": choices})
        else:
            ids = prompt if isinstance(prompt, list) else self.remote.tokenizer.encode(prompt)
            self._answer({"choices": [{"index": 0, "text": "x"}], "usage": {"prompt_tokens": len(ids)}})

    def _stream(self, body: dict[str, Any], how: int | str) -> None:
        if isinstance(how, int):
            self._answer({"error": {"message": "not now"}}, how)
            return
        if how == "echo":
            self._answer({"error": {"message": f"can't do {body['prompt']}"}}, 422)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if how == "html" else "text/event-stream")
        self.end_headers()
        for index in range(body["n"]):
            if how == "odd":
                self._event(choices=[{"index": 9, "text": None, "logprobs": 1}])
            begun = _beginning(body[self.remote.constraint]) if self.remote.constraint in body else ()
            for at, (text, logprob) in enumerate((*begun, *self.remote.pieces), -len(begun)):
                told: dict[str, Any] = {"tokens": [text], "token_logprobs": [logprob]}
                if self.remote.chatty:
                    told = {"content": [{"token": text, "logprob": logprob}]}
                told = told if body.get("logprobs") else {}
                reason = "length" if at + 1 == len(self.remote.pieces) else None
                self._event(
                    choices=[{"index": index, "text": text, "logprobs": told, "finish_reason": reason}]
                )
                if how == "break":
                    self.connection.close()
                    return
                if how == "hang":
                    self._until_left()
                    return
        self._event(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 3})
        self.wfile.write(b"data: [DONE]\n\n")

    def _until_left(self) -> None:
        try:
            while True:
                self.wfile.write(b": still there\n\n")
                self.wfile.flush()
                time.sleep(0.02)
        except OSError:
            self.remote.left += 1

    def _event(self, **event: Any) -> None:
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()

    def _answer(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _texts(constraint: Any) -> list[str]:
    """Of vLLM's structured outputs, or of a grammar in llama.cpp's form."""
    if isinstance(constraint, dict):
        return [*constraint["choice"]]
    return [json.loads(text) for text in constraint.removeprefix("root ::= ").split(" | ")]


def _beginning(constraint: Any) -> tuple[tuple[str, float], ...]:
    """Of vLLM's structured outputs, or of a grammar in llama.cpp's form: by its characters."""
    if isinstance(constraint, dict):
        text = re.sub(r"\\(.)", r"\1", constraint["regex"].removesuffix(r"[\s\S]*"))
    else:
        text = json.loads(constraint.removeprefix("root ::= ").rpartition(" ")[0])
    return tuple((character, -0.01) for character in text)
