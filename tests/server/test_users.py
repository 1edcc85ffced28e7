"""Several users at one server: what one of them does is no other's loss."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from santajupyter.protocol import Cell, Completion, CompletionRequest, Timings, Usage
from santajupyter.server.prompts import Prompts
from santajupyter.server.service import CompletionService, QueueFull
from santajupyter.server.settings import Settings

MADE = Completion((), "tiny", Usage(), Timings())
HERE = CompletionRequest(cells=(Cell("x"),), active=0, offset=1, client="page")


class Shared(CompletionService):
    """What is admitted is at work until it may end."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(Settings("nobody/nothing", shared=True, **settings), logging.getLogger("test"))
        self.may_end = asyncio.Event()
        self._work = self  # type: ignore[assignment]
        self.at_work = 0

    async def do(self, user: str, *, clientless: bool = True) -> Completion:
        with self.on_behalf(user):
            if clientless:
                return await self._admit(None, self._done())
            return await CompletionService.warm(self, HERE)

    async def warm(self, request: CompletionRequest) -> Completion:
        return await self._done()

    async def _done(self) -> Completion:
        self.at_work += 1
        await self.may_end.wait()
        return MADE


@pytest.fixture
def shared() -> Shared:
    """Starts no process."""
    return Shared(max_queue=2, max_user_queue=3)


async def begun(shared: Shared, *users: str) -> list[asyncio.Task[Completion]]:
    before = shared.at_work
    tasks = [asyncio.create_task(shared.do(user)) for user in users]
    while shared.at_work < before + len(users):
        await asyncio.sleep(0)
    return tasks


async def test_a_queue_that_one_has_filled_is_open_for_others(shared: Shared) -> None:
    tasks = await begun(shared, "alice", "alice")
    with pytest.raises(QueueFull, match="Too many requests are waiting"):
        await shared.do("alice")
    tasks += await begun(shared, "bob", "carol")
    with pytest.raises(QueueFull):
        await shared.do("bob")
    shared.may_end.set()
    assert await asyncio.gather(*tasks) == [MADE] * 4
    assert await shared.do("alice") == MADE


async def test_so_many_of_one_user_s_are_here(shared: Shared) -> None:
    """Counted before anything of a request is read."""
    with (
        shared.on_behalf("alice"),
        shared.on_behalf("alice"),
        shared.on_behalf("alice"),
        pytest.raises(QueueFull, match="3 requests of yours are at work"),
        shared.on_behalf("alice"),
    ):
        pass
    with shared.on_behalf("alice"):
        pass


async def test_a_client_s_name_is_its_user_s(shared: Shared) -> None:
    """A newer request of the same client takes the older one's place, but not another user's."""
    alice = asyncio.create_task(shared.do("alice", clientless=False))
    bob = asyncio.create_task(shared.do("bob", clientless=False))
    while shared.at_work < 2:
        await asyncio.sleep(0)
    shared.may_end.set()
    assert (await alice, await bob) == (MADE, MADE)


async def test_prompts_are_made_for_all_in_turn(shared: Shared) -> None:
    prompts = Prompts(None, kernel_names=False)
    order: list[str] = []

    async def make(user: str) -> None:
        with shared.on_behalf(user):
            await asyncio.gather(*(prompts.run(order.append, user) for _ in range(4)))

    await asyncio.gather(make("alice"), make("bob"))
    prompts.close()
    assert order == ["alice", "bob"] * 4


async def test_only_one_model_is_there(shared: Shared) -> None:
    assert shared.allowed_models == ["nobody/nothing"]
    assert shared.status()["allowed_models"] == ["nobody/nothing"]


class TestServer:
    @pytest.fixture
    def santa_config(self) -> dict[str, Any]:
        return {"shared": True}

    async def test_no_file_is_read(self, jp_serverapp: Any) -> None:
        """Whatever path a request names: there is no folder that it begins in."""
        service = jp_serverapp.extension_manager.extension_points["santajupyter"].app.service
        assert service._prompts._root is None


async def test_the_key_is_where_the_configuration_says(
    jp_serverapp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    extension = type(jp_serverapp.extension_manager.extension_points["santajupyter"].app)
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "alice's")
    monkeypatch.setenv("SANTAJUPYTER_REMOTE_API_KEY", "everybody's")
    assert extension().remote_api_key == "everybody's"
    assert extension(remote_api_key_env="JUPYTERHUB_API_TOKEN").remote_api_key == "alice's"
