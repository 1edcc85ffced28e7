"""A model that another server has: one of our own, and one that does what it is told to."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from santajupyter.engine import wire
from santajupyter.engine.process import EngineUnavailable, RequestFailed
from santajupyter.prompt.fim import ALL_TOKENS, FAMILIES
from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.protocol import Cell, CompletionRequest, Variable
from santajupyter.server import engines
from santajupyter.server.service import CompletionService
from santajupyter.server.settings import BUILT_IN, Settings

from ..kernel.test_magics import TOKEN, request, server
from ..remote import KEY, Remote, serving

HERE = CompletionRequest(cells=(Cell("total = "),), active=0, offset=8, trigger="invoke")
LIMIT = 60


@pytest.fixture
def remote(tiny: Path) -> Remote:
    return Remote(CodeTokenizer.from_folder(tiny))


def settings(remote: Remote, tiny: Path, **changes: Any) -> Settings:
    at = wire.Remote(changes.pop("url", remote.url), changes.pop("key", KEY), str(tiny))
    return replace(Settings(model=remote.model, fallback_model="", remote=at, check=False), **changes)


@asynccontextmanager
async def service(settings: Settings) -> AsyncIterator[CompletionService]:
    made = CompletionService(settings, logging.getLogger("test"))
    try:
        yield made
    finally:
        await made.close()


async def until(condition: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.02)

    await asyncio.wait_for(wait(), LIMIT)


async def test_one_of_our_own(tiny: Path, tmp_path: Path) -> None:
    """What it makes is what it makes for its own clients."""
    with server(tiny, tmp_path, tmp_path) as (url, _):
        at = wire.Remote(f"{url}santajupyter/v1", TOKEN, str(tiny))
        async with service(Settings(str(tiny), fallback_model="", remote=at, check=False)) as ours:
            made = await ours.complete(replace(HERE, max_new_tokens=4), None)
            named = await ours.complete(replace(BY_A_COLUMN, max_new_tokens=8), None)
            await ours.complete(replace(HERE, trigger="automatic", min_probability=0.5), None)  # is taken
            status = ours.status()
        body = {"prompt": HERE.cells[0].source, "max_tokens": 4}
        alone = await asyncio.to_thread(request, f"{url}santajupyter/v1/completions", body)
    assert named.text.startswith(("flag", "keel"))
    assert (status["state"], status["model"]) == ("ready", str(tiny))
    assert url.split("/")[2] == status["device"]
    assert alone["choices"][0]["text"].startswith(made.items[0].text)
    assert made.items[0].text
    assert made.model == str(tiny)


async def test_ids_keep_what_a_user_writes_apart_from_sentinels(remote: Remote, tiny: Path) -> None:
    spelled = "".join(FAMILIES["santacoder"].sentinels)
    cells = (Cell(f"a = '{spelled}'\nb = "), Cell("print(b)"))
    with serving(remote):
        async with service(settings(remote, tiny)) as ours:
            asked = replace(HERE, cells=cells, offset=len(cells[0].source))
            made = await ours.complete(asked, None)
            told = await ours.explain(asked)
    (body,) = remote.asked
    sentinels = remote.tokenizer.ids_of(FAMILIES["santacoder"].sentinels)
    assert sum(token in sentinels for token in body["prompt"]) == 3
    assert set(remote.tokenizer.ids_of(["<|endoftext|>"])) <= {*body["stop_token_ids"]}
    assert made.items[0].text == " 1 + 2"
    assert made.usage.prompt_tokens == 7
    assert told["window"] == 512


@pytest.mark.parametrize("form", ["suffix", "text"])
async def test_as_text_nothing_of_a_user_s_can_become_a_sentinel(
    remote: Remote, tiny: Path, form: str
) -> None:
    remote.forms = (form,)
    cells = (Cell(f"a = '{''.join(ALL_TOKENS)}'\nb = "), Cell("print(b)"))
    with serving(remote):
        async with service(settings(remote, tiny)) as ours:
            await ours.complete(replace(HERE, cells=cells, offset=len(cells[0].source)), None)
    (body,) = remote.asked
    family = FAMILIES["santacoder"]
    if form == "suffix":
        assert (body["prompt"], body["suffix"]) == ("a = ''\nb = ", "\n\nprint(b)")
    else:
        sentinels = family.prefix + family.suffix + "\n\nprint(b)" + family.middle
        assert body["prompt"] == f"{sentinels}a = ''\nb = "


@pytest.mark.parametrize("chatty", [False, True])
async def test_what_is_unlikely_ends_the_text(remote: Remote, tiny: Path, chatty: bool) -> None:
    remote.chatty = chatty
    with serving(remote):
        async with service(settings(remote, tiny)) as ours:
            made = await ours.complete(replace(HERE, trigger="automatic", min_probability=0.5), None)
    assert made.items[0].text == " 1 +"


async def test_who_leaves_frees_the_server(remote: Remote, tiny: Path) -> None:
    remote.answers = ["hang"]
    with serving(remote):
        async with service(settings(remote, tiny)) as ours:
            task = asyncio.create_task(ours.complete(HERE, None))
            await until(lambda: bool(remote.asked))
            task.cancel()
            await until(lambda: remote.left == 1)
            assert (await ours.complete(HERE, None)).items[0].text == " 1 + 2"


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([422], r"answers 422$"),
        (["html"], "something else than a completion"),
        (["odd"], "something else than a completion"),
        (["break"], "broke"),
    ],
)
async def test_a_request_that_fails_is_the_only_one(
    remote: Remote, tiny: Path, answers: list[int | str], says: str
) -> None:
    remote.answers = answers
    with serving(remote):
        async with service(settings(remote, tiny)) as ours:
            with pytest.raises(RequestFailed, match=says):
                await ours.complete(HERE, None)
            assert (await ours.complete(HERE, None)).items[0].text == " 1 + 2"


async def test_a_server_that_has_too_much_to_do_is_no_failure(remote: Remote, tiny: Path) -> None:
    remote.answers = [429, 429]
    with serving(remote):
        async with service(settings(remote, tiny)) as ours:
            with pytest.raises(EngineUnavailable, match=r"has too much to do \(429\)") as refused:
                await ours.complete(HERE, None)
            assert (refused.value.reason, refused.value.retry_after) == ("busy", 1.0)
            assert (await ours.complete(HERE, None)).items[0].text == " 1 + 2"


async def test_it_is_asked_again_where_nothing_has_come(remote: Remote, tiny: Path) -> None:
    remote.answers = [503]
    with serving(remote):
        async with service(settings(remote, tiny)) as ours:
            assert (await ours.complete(HERE, None)).items[0].text == " 1 + 2"
    assert len(remote.asked) == 2


async def test_the_built_in_model_stands_in_while_it_is_away(remote: Remote, tiny: Path) -> None:
    """Also for the request at which that is seen; and no longer than that."""

    async def answered(ours: CompletionService, by: str) -> None:
        while (await ours.complete(HERE, None)).model != by:
            await asyncio.sleep(0.05)

    with serving(remote):
        port = int(remote.url.rpartition(":")[2])
        ours = CompletionService(settings(remote, tiny, fallback_model=BUILT_IN), logging.getLogger("test"))
        await asyncio.wait_for(answered(ours, remote.model), LIMIT)
    try:
        assert (await ours.complete(HERE, None)).model == BUILT_IN
        await until(lambda: ours.status()["state"] == "error")
        assert "can't be reached" in ours.status()["error"]
        with serving(remote, port):
            ours.engines.primary._retry_at = 0.0  # it is looked for again after some seconds
            await asyncio.wait_for(answered(ours, remote.model), LIMIT)
    finally:
        await ours.close()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"key": "wrong"}, "refuses the key (who are you?): set SantaApp.remote_api_key"),
        ({"model": "other"}, "doesn't serve other but some/model: set SantaApp.remote_model"),
        ({"url": "gpu.example:8000"}, "and not an address such as http"),
    ],
)
async def test_what_is_wrong_is_said(remote: Remote, tiny: Path, changes: dict[str, Any], says: str) -> None:
    with serving(remote):
        async with service(settings(remote, tiny, **changes)) as ours:
            with pytest.raises(EngineUnavailable, match=re.escape(says)):
                await ours.complete(HERE, None)
            assert says in ours.status()["message"]


async def test_a_foreign_tokenizer_is_noticed(remote: Remote, tiny: Path) -> None:
    remote.tokenizer = CodeTokenizer.from_folder(engines.MODELS / BUILT_IN)
    with serving(remote):
        async with service(settings(remote, tiny)) as ours:
            with pytest.raises(EngineUnavailable, match="remote_tokenizer isn't the one of some/model"):
                await ours.complete(HERE, None)


COLUMNS = (("flag", "str"), ("keel", "str"))
SHIPS = Variable("ships", "DataFrame", "pandas", columns=COLUMNS, complete=frozenset(["columns"]))
GROUPED = 'ships.groupby("'
BY_A_COLUMN = replace(HERE, cells=(Cell(GROUPED),), offset=len(GROUPED), variables=(SHIPS,))


@pytest.mark.parametrize("constraint", ["structured_outputs", "grammar"])
@pytest.mark.parametrize(
    ("pieces", "follows"), [((('").', -0.1), ("sum()", -0.1)), '").sum()'), (((" + 1", -0.1),), '"')]
)
async def test_names_of_the_kernel_are_chosen_among(
    remote: Remote, tiny: Path, constraint: str, pieces: tuple[tuple[str, float], ...], follows: str
) -> None:
    """By whichever way the server knows; the model goes on behind the name only as that can go on."""
    remote.constraint, remote.pieces = constraint, pieces
    remote.most = 4 if constraint == "grammar" else 8
    several = replace(BY_A_COLUMN, n=2, temperature=0.5)
    with serving(remote):
        async with service(settings(remote, tiny)) as ours:
            made = await ours.complete(BY_A_COLUMN, None)
            others = await ours.complete(several, None)
    assert made.text == f"flag{follows}"
    assert [item.text for item in others.items] == [f"flag{follows}", f"keel{follows}"]
    assert remote.tokenizer.decode(remote.asked[0]["prompt"]).endswith(f"{GROUPED}flag")


@pytest.mark.parametrize("constraint", ["structured_outputs", "grammar"])
async def test_what_stands_before_the_cursor_is_written_again(
    remote: Remote, tiny: Path, constraint: str
) -> None:
    """The cursor may cut a token, and the model knows whole ones."""
    remote.constraint, remote.pieces = constraint, (("al(", -0.1), (")", -0.1))
    source = "total.tot"
    request = replace(HERE, cells=(Cell(source),), offset=len(source))
    with serving(remote):
        async with service(settings(remote, tiny)) as ours:
            assert (await ours.complete(request, None)).text == "al()"
    (body,) = remote.asked
    sent = remote.tokenizer.decode(body["prompt"])
    assert sent != source and source.startswith(sent)


async def test_a_server_that_passes_over_what_it_has_to_begin_with(remote: Remote, tiny: Path) -> None:
    remote.lax = True
    with serving(remote):
        async with service(settings(remote, tiny)) as ours:
            source = "total"
            request = replace(HERE, cells=(Cell(source),), offset=len(source))
            assert [(await ours.complete(request, None)).text for _ in range(2)] == [" 1 + 2"] * 2
    assert [set(body) & {"structured_outputs", "grammar"} for body in remote.asked] == [
        {"structured_outputs"},
        {"grammar"},
        set(),
        set(),
    ]


async def test_a_server_that_can_not_be_made_to_choose_writes_what_it_will(
    remote: Remote, tiny: Path
) -> None:
    with serving(remote):
        async with service(settings(remote, tiny)) as ours:
            assert (await ours.complete(BY_A_COLUMN, None)).text == " 1 + 2"


@pytest.mark.parametrize("allowed", [False, True])
async def test_values_are_sent_where_that_is_allowed(remote: Remote, tiny: Path, allowed: bool) -> None:
    ships = Variable(
        "ships", "DataFrame", "pandas", columns=(("flag", "str"),), values=(("flag", ("'XQZ'",)),)
    )
    source = 'ships[ships["flag"] == '
    asked = replace(HERE, cells=(Cell(source),), offset=len(source), variables=(ships,))
    remote.forms = ("text",)
    with serving(remote):
        async with service(settings(remote, tiny, remote_values=allowed)) as ours:
            await ours.complete(asked, None)
    assert ("XQZ" in remote.asked[0]["prompt"]) is allowed
