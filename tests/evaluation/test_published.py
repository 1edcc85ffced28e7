"""Published benchmarks: what is asked, to the letter; and known texts have known scores, all the way."""

from __future__ import annotations

import gzip
import json
import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from santajupyter.evaluation import sandbox
from santajupyter.evaluation.data import OWN, rows
from santajupyter.evaluation.harness import Judged, Question, Sample
from santajupyter.evaluation.main import main
from santajupyter.evaluation.programs import Verdict, missing
from santajupyter.evaluation.tasks import TASKS, code_to_text, fim, humaneval, humaneval_infilling, load
from santajupyter.evaluation.tasks.common import pass_rates
from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.protocol import TextRequest

from .test_sandbox import needs_sandbox

PROBLEMS = rows("", "humaneval.jsonl", ())


class Known:
    """A model that knows some problems: of a request's texts every second one is right there."""

    def __init__(self, tokenizer: CodeTokenizer) -> None:
        self.tokenizer, self.url = tokenizer, ""
        self.asked: list[dict[str, Any]] = []

    def texts(self, body: dict[str, Any]) -> list[str]:
        prompt = self.tokenizer.decode(body["prompt"])
        known = {row["prompt"].strip(): "\n" + row["canonical_solution"] for row in PROBLEMS[:6]}
        return [known.get(prompt, "") if number % 2 == 0 else "\n    return 0" for number in range(body["n"])]


@pytest.fixture
def known(tiny: Path) -> Iterator[Known]:
    model = Known(CodeTokenizer.from_folder(tiny))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(json.dumps({"data": [{"id": "known/model", "max_model_len": 2048}]}))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = body["prompt"]
            if not body.get("stream"):
                ids = prompt if isinstance(prompt, list) else model.tokenizer.encode(prompt)
                self.answer(json.dumps({"choices": [], "usage": {"prompt_tokens": len(ids)}}))
                return
            model.asked.append(body)
            choices = [
                {"index": number, "text": text, "finish_reason": "stop"}
                for number, text in enumerate(model.texts(body))
            ]
            self.answer(f"data: {json.dumps({'choices': choices})}\n\ndata: [DONE]\n\n", "text/event-stream")

        def answer(self, text: str, kind: str = "application/json") -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        model.url = f"http://127.0.0.1:{server.server_port}"
        yield model
        server.shutdown()
        thread.join()


def evaluate(task: str, known: Known, tiny: Path, out: Path, *more: str) -> dict[str, Any]:
    engine = ["--model", "known/model", "--remote-url", known.url, "--remote-tokenizer", str(tiny)]
    main([task, *engine, "--out", str(out), *more])
    found: dict[str, Any] = json.loads((out / "report.json").read_text("utf-8"))
    return found


@needs_sandbox
def test_known_texts_have_known_scores_and_a_stopped_run_goes_on(
    known: Known, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "HumanEval.jsonl.gz"
    data.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in PROBLEMS[4:8]).encode()))
    options = ("--data", str(data), "--samples", "10", "--batch", "4", "--parallel", "3")
    report = evaluate("humaneval", known, tiny, tmp_path / "a", *options)
    # Of 10 texts 6 are right (2 of 4, 2 of 4, 1 of 2 are first ones), for 2 of 4 problems.
    values = {figure["name"]: (figure["value"]["value"], figure["published"]) for figure in report["figures"]}
    assert values == {"pass@1": (pytest.approx(0.25), 0.18), "pass@10": (pytest.approx(0.5), None)}
    assert "| pass@1 | 25.0 [" in capsys.readouterr().out
    lines = (tmp_path / "a" / "samples.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == 40 and len(known.asked) == 12

    known.asked.clear()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "run.json").write_bytes((tmp_path / "a" / "run.json").read_bytes())
    (tmp_path / "b" / "samples.jsonl").write_text("\n".join([*lines[:20], lines[20][:30], ""]))
    again = evaluate("humaneval", known, tiny, tmp_path / "b", *options)
    assert again["figures"] == report["figures"] and 0 < len(known.asked) <= 7
    known.asked.clear()
    assert evaluate("humaneval", known, tiny, tmp_path / "b", *options)["figures"] == report["figures"]
    assert not known.asked
    with pytest.raises(SystemExit, match=r"samples of another run \(temperature 0.2\)"):
        evaluate("humaneval", known, tiny, tmp_path / "b", *options, "--temperature", "0.8")


def test_humaneval_is_asked_to_the_letter(
    known: Known, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(humaneval, "RUNS_CODE", False)
    evaluate("humaneval", known, tiny, tmp_path, "--limit", "1", "--samples", "9")
    first, second = known.asked
    prompt = known.tokenizer.decode(first["prompt"])
    assert prompt in {row["prompt"].strip() for row in PROBLEMS}
    assert (first["temperature"], first["top_p"], first["max_tokens"]) == (0.2, 0.95, 512)
    assert (first["n"], second["n"]) == (8, 1) and first["seed"] != second["seed"]
    assert first["stop"] == ["\ndef", "\n#", "\nif", "\nclass"]


def test_infilling_is_asked_to_the_letter(known: Known, tiny: Path, tmp_path: Path) -> None:
    """Prefix before suffix; and where nothing stands below the line too."""
    report = evaluate("fim", known, tiny, tmp_path)
    assert [figure["name"] for figure in report["figures"]] == ["Python", "Java", "JavaScript"]
    row = rows("", "fim.jsonl", ())[0]
    asked = [known.tokenizer.decode(body["prompt"]) for body in known.asked]
    left = row["prompt"] + row["body"][0]
    assert f"<fim-prefix>{row['prompt']}<fim-suffix>{row['body'][1]}<fim-middle>" == asked[0]
    assert f"<fim-prefix>{left}<fim-suffix><fim-middle>" == asked[1]
    first = known.asked[0]
    assert (first["temperature"], first["top_p"], first["max_tokens"], first["n"]) == (0.2, 0.95, 25, 1)
    assert not first.get("stop")


def test_lines_are_hidden_by_the_benchmark_s_rule() -> None:
    row = {"prompt": "P\n", "body": ["", "  a", "  // b", "  c", "}"], "language": "js"}
    made = [(hole["prompt"], hole["canonical_solution"], hole["suffix"]) for hole in fim.holes(row)]
    assert made == [
        ("P\n", "  a", "  // b\n  c\n}"),
        ("P\n\n  a\n  // b", "  c", "}"),
        ("P\n\n  a\n  // b\n  c", "}", ""),
    ]
    ready = {"prompt": "P", "suffix": "S", "canonical_solution": " x ", "language": "python"}
    (hole,) = fim.holes(ready)
    question = Question("0", TextRequest("P"), about=hole)
    for text, right in (("\n x", True), (" x\n y", False), ("", False)):
        assert fim.judge(question, text, Namespace()).passed is right


def test_single_lines_are_those_of_the_original() -> None:
    row = {**PROBLEMS[0], "prompt": "def f():\n", "canonical_solution": "    a = 1\n\n    return a\n"}
    made = [*humaneval_infilling.holes(row)]
    assert [(hole.task_id[-2:], hole.prompt, hole.hidden, hole.suffix) for hole in made] == [
        ("L0", "def f():\n\n", "    a = 1", "\n    return a\n"),
        ("L2", "def f():\n    a = 1\n\n", "    return a", ""),
    ]
    original = {**row, "prompt": made[1].prompt, "suffix": "", "canonical_solution": "    return a\n"}
    assert [hole.hidden for hole in humaneval_infilling.holes(original)] == ["    return a"]


@pytest.mark.parametrize(
    ("head", "prompt"),
    [
        ('def f(x):\n    """', 'def f(x):\n    """'),
        ("def f(x):\n    '''\n    ", 'def f(x):\n    """'),
        ('def f(x):\n    r"""', 'def f(x):\n    r"""'),
        ("def f(x):\n    '", 'def f(x):\n   """'),
        ("def f(x):\n", 'def f(x):\n"""'),
    ],
)
def test_documentation_is_asked_for_behind_the_signature(head: str, prompt: str) -> None:
    row = {"code": f"{head}Say x.\n'''\n    return x", "docstring": "Say x.", "docstring_tokens": []}
    assert code_to_text.prompt(row) == prompt
    assert code_to_text.first_line("\n    Say x. \n more") == "Say x."


def test_pass_rates_are_of_problems_that_have_enough_texts() -> None:
    def judged(problem: str, number: int, passed: bool) -> Judged:
        question = Question(problem, TextRequest(""), samples=10)
        return Judged(question, Sample(problem, "bare", number, "", 1.0), Verdict(passed))

    found = [judged(p, n, p == "a" and n < 5) for p in "ab" for n in range(10)]
    one, ten = pass_rates(found, {1: 0.18, 10: 0.29}, 0.8)
    assert (one.name, one.value.value, one.published) == ("pass@1", 0.25, None)
    assert (ten.name, ten.value.value, ten.published) == ("pass@10", 0.5, 0.29)


def test_nothing_is_asked_where_nothing_can_be_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sandbox, "_kinds", lambda: (None, ["bubblewrap isn't installed"]))
    for task in ("humaneval", "multipl-e", "humaneval-infilling", "executed"):
        with pytest.raises(SystemExit, match=r"can't be run safely here.*--unprotected"):
            main([task, "--out", str(tmp_path / task)])
        assert not (tmp_path / task).exists()


@needs_sandbox
@pytest.mark.skipif(bool(missing("java")), reason="no Java here")
def test_java_without_its_tuples_is_not_asked_for_hours(tmp_path: Path) -> None:
    """MultiPL-E's prompts import them, so that nothing would compile."""
    row = {"name": "HumanEval_0", "language": "java", "prompt": "import org.javatuples.*;\n", "tests": "}"}
    (tmp_path / "prompts.jsonl").write_text(json.dumps(row))
    with pytest.raises(SystemExit, match=r"--classpath.*javatuples-1\.2\.jar"):
        main(["multipl-e", "--data", str(tmp_path / "prompts.jsonl"), "--out", str(tmp_path / "out")])


def test_each_task_says_what_it_is() -> None:
    for name in TASKS:
        task = load(name)
        assert task.TITLE and len(task.ABOUT) > 100
        task.add_arguments(ArgumentParser())


@pytest.mark.parametrize(
    ("content", "says"),
    [("{}", "has no item with task_id, prompt"), ("{", "Expecting"), (None, "neither a file|No such file")],
)
def test_data_that_is_none(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "data.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SystemExit, match=says):
        rows(str(path), "humaneval.jsonl", humaneval.NEEDED)


def test_data_of_a_folder_are_those_of_its_test_split(tmp_path: Path) -> None:
    for name, size in (("train", 1), ("test", 2)):
        (tmp_path / f"{name}.jsonl").write_text('{"a": 1}\n' * size)
    assert len(rows(str(tmp_path), "", ["a"])) == 2
    (tmp_path / "list.json").write_text('[{"b": 1}]')
    assert rows(str(tmp_path / "list.json"), "", ["b"]) == [{"b": 1}]
    assert all(OWN.joinpath(f"{name}.jsonl").is_file() for name in ("humaneval", "multipl_e", "fim"))
