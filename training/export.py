"""The trained checkpoint as ``santajupyter/models/santa-mini``: weights, config, tokenizer, model card.

The card is written from what the other steps measured, so that its figures are never older than
the weights beside it.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from .evaluate import BEAMS, from_checkpoint, report
from .tokenizer import WORK
from .train import FINAL_KINDS, TWICE

TARGET = Path(__file__).parents[1] / "santajupyter" / "models" / "santa-mini"

# Of SantaApp.min_probability's values 0.2 to 0.4 save the most keystrokes in the notebooks of the `valid`
# split, and hide no exact lines that 0.2 shows: docs/evaluation.md.
MIN_PROBABILITY = 0.25
# Of a column's name it tells less than the column's place in its table: docs/evaluation.md.
TRUST_IN_NAMES = 0.005
LANGUAGES = {"python": "Python", "javascript": "JavaScript", "java": "Java"}

CARD = """\
# santa-mini

The code completion model that comes with santajupyter, for when SantaCoder can't be had or isn't
loaded yet. It has SantaCoder's architecture (GPTBigCode, multi-query attention), special tokens and
fill-in-the-middle formats at a fraction of the size: {parameters:.1f} M parameters, {vocabulary} tokens,
a window of {window} tokens. It offers the rest of a line in a notebook, and no more: of Python, and
with less to go by of JavaScript and Java.

## Use
Suffix first, `<fim-prefix><fim-suffix>` suffix `<fim-middle>` prefix, and with token healing: leave the
prefix's last token off, or the last ones that a longer token begins with (of `groupb`, which are two,
both), and let the answer begin with their text. Of spaces a token on the way to that text counts too,
since some of them belong to the word behind; of a word only its own tokens. Loads with transformers as
`GPTBigCodeForCausalLM`. While you type, santajupyter decodes greedily and ends a suggestion before the
word that makes all of it less likely than `min_probability`, which was chosen on the validation
packages' notebooks. Asked for a line, it searches for the likeliest one with as many `beams`.

## How good it is
{test_places} random cursor places (at least three characters into a line of code) in notebooks of seaborn and
statsmodels, no file of which was trained on; the rest of the line as if asked for; with a cache
model (`cache_model`: what followed the same tokens elsewhere in the notebook is interpolated, which
santajupyter's engine does and transformers doesn't). The more confident a completion (the mean
log-probability of its tokens), the better.

{table}

{bits:.2f} bits a byte on held-back packages (comments included, left to right). Chance moves the
shares by about {noise:.0f} points, those of the smaller groups by more. One run, one seed.

In other languages the places are in the source of packages that were held out as well, since there are
no notebooks among them; "bare" is without the cache model.

{languages}

{verbatim}

## Limits
Small and trained on little: it copies names well and knows the everyday calls of the scientific
Python libraries, but not what a program means. What it writes is machine-generated, may be wrong
or insecure, and may by chance repeat lines of the sources below. Its tokens are made for Python. Its
JavaScript comes from libraries, its Java from the Android halves of npm packages alone. TypeScript and
other languages it knows only by what the notebook says.

## Data
Notebooks, galleries, documentation, doctests and a little library code out of the archives of {count}
packages of PyPI and (`npm:`) npm, each under a permissive licence by its own metadata, deduplicated. Of
the text that ended the training {shares}. Lines with e-mail
addresses, authors' names, home folders or credentials and files with what looks like a secret were
left out. {tokens:.1f} M tokens in {hours:.1f} CPU-hours, all runs together.

{data}

The weights are under santajupyter's licence, BSD-3-Clause.

## Make it again
`training/README.md` in the source repository; versions and hashes are in `training/packages.txt`.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--target", type=Path, default=TARGET)
    args = parser.parse_args()
    export(args.work, args.target)
    for path in sorted(args.target.iterdir()):
        print(f"{path.stat().st_size:>10} {path}")


def export(work: Path, target: Path) -> None:
    """Only the four files; the weights as fp16."""
    target.mkdir(parents=True, exist_ok=True)
    model = from_checkpoint(work)
    model.half()
    model.save_pretrained(target)
    (target / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    config["beams"] = BEAMS
    config["cache_model"] = True
    config["min_probability"] = MIN_PROBABILITY
    config["trust_in_names"] = TRUST_IN_NAMES
    config["trained"] = _read(work / "curve.json").get("trained")
    (target / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    shutil.copyfile(work / "tokenizer.json", target / "tokenizer.json")
    (target / "README.md").write_text(card(work, config, model.num_parameters()), encoding="utf-8")


def card(work: Path, config: dict[str, Any], parameters: int) -> str:
    """The model card; figures not measured yet are left as dashes."""
    test = _read(work / report("test", "python"))
    run = _read(work / "curve.json")
    places = test.get("places", 0)
    trained = [row for row in _licences(work) if row[0] == "train" and row[3] != "refused"]
    return CARD.format(
        parameters=parameters / 1e6,
        vocabulary=f"{config['vocab_size']:,}",
        window=config["n_positions"],
        test_places=places or "-",
        table=_table(test),
        languages=_languages(work),
        shares=_shares(work / "train.jsonl"),
        bits=run.get("valid_bits_per_byte", float("nan")),
        verbatim=_verbatim(_read(work / "verbatim.json")),
        noise=100 * (0.25 / max(places, 1)) ** 0.5 * 1.4,
        count=len({row[1] for row in trained}),
        tokens=config["trained"]["tokens"] / 1e6,
        hours=config["trained"]["cpu_hours"],
        data=_by_licence(trained),
    )


def _table(figures: dict[str, Any]) -> str:
    rows = ["| most confident | mean log-probability >= | exact | first word right |", "|---|---|---|---|"]
    for name, shown in figures.items():
        if isinstance(shown, dict):
            rows.append(
                f"| {name} | {shown['logprob >=']:.2f} | {shown['exact']:.1%} | {shown['first word']:.1%} |"
            )
    return "\n".join(rows)


def _languages(work: Path) -> str:
    rows = ["| language | places | exact | first word right | exact, bare | first word right, bare |"]
    rows.append("|---|---|---|---|---|---|")
    for language, name in LANGUAGES.items():
        figures, bare = (_read(work / report("test", language, bare)) for bare in (False, True))
        if figures and bare:
            shares = (
                f"{shown['all'][key]:.1%}" for shown in (figures, bare) for key in ("exact", "first word")
            )
            rows.append(f"| {name} | {figures['places']} | {' | '.join(shares)} |")
    return "\n".join(rows)


def _shares(corpus: Path) -> str:
    sizes: Counter[str] = Counter()
    for line in corpus.read_text(encoding="utf-8").splitlines():
        document = json.loads(line)
        times = (document["kind"] in FINAL_KINDS) * (2 if document["kind"] in TWICE else 1)
        sizes[document["language"]] += times * len(document["text"])
    shares = (
        f"{size / sizes.total():.0%} is {LANGUAGES[language]}" for language, size in sizes.most_common()
    )
    return ", ".join(shares)


def _verbatim(counted: dict[str, Any]) -> str:
    if not counted:
        return "How much of its output stands word for word in the training text wasn't counted."
    return (
        f"Of {counted['outputs']} greedy outputs of {counted['tokens']} tokens at such places, "
        f"{counted['in the corpus']} stood word for word in the training text, white space aside."
    )


def _by_licence(rows: list[list[str]]) -> str:
    groups: dict[str, list[str]] = defaultdict(list)
    for _, name, version, licence, *_rest in rows:
        groups[licence].append(f"{name} {version}")
    return "\n".join(f"- {licence}: {', '.join(sorted(groups[licence]))}." for licence in sorted(groups))


def _licences(work: Path) -> list[list[str]]:
    path = work / "licences.tsv"
    return (
        [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    )


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


if __name__ == "__main__":
    main()
