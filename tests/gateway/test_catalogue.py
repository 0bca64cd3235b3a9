"""Which upstream has a model, with upstreams that answer, change their mind, or say nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import NoReturn

import pytest

from tailrace.errors import UpstreamUnreachable
from tailrace.gateway import catalogue as module
from tailrace.gateway.catalogue import Catalogue
from tailrace.gateway.refusal import Refusal
from tailrace.gateway.settings import Route, Streaming
from tailrace.gateway.upstream import Target
from tailrace.llm.codec import Object


class Known:
    """An upstream with a list of models; None when it cannot say."""

    def __init__(self, name: str, *models: str, says: bool = True) -> None:
        self.name = name
        self.adapter = None
        self.list = list(models)
        self.says = says
        self.asked = 0

    def streaming(self, model: str | None) -> Streaming:
        return Streaming.AUTO

    async def open(
        self,
        method: str,
        path: str,
        request_headers: Iterable[tuple[str, str]],
        body: bytes,
        sent: Callable[[], None] | None = None,
    ) -> NoReturn:
        raise AssertionError("a catalogue sends no requests")

    async def models(self) -> list[Object]:
        self.asked += 1
        if not self.says:
            raise UpstreamUnreachable(f"no connection to {self.name}")
        return [{"id": model, "object": "model"} for model in self.list]

    def problem(self) -> str | None:
        return None


async def refusal(catalogue: Catalogue, model: str | None) -> tuple[int, str]:
    with pytest.raises(Refusal) as refused:
        await catalogue.resolve(model)
    return refused.value.status, refused.value.message


async def test_a_model_is_found_at_the_upstream_that_has_it() -> None:
    one, two = Known("one", "a"), Known("two", "b")

    assert await Catalogue([one, two]).resolve("b") == (Target(two, "b"),)


async def test_an_upstream_is_asked_once_for_many_requests() -> None:
    one = Known("one", "a")
    catalogue = Catalogue([one])

    await asyncio.gather(*(catalogue.resolve("a") for _ in range(20)))
    await catalogue.models()

    assert one.asked == 1


async def test_a_prefix_chooses_without_asking() -> None:
    one, two = Known("one", "a"), Known("two", "a")

    assert await Catalogue([one, two]).resolve("two/x/y") == (Target(two, "x/y"),)
    assert (one.asked, two.asked) == (0, 0)


async def test_a_name_with_a_slash_is_a_prefix_only_for_an_upstream() -> None:
    one = Known("one", "org/a")

    assert await Catalogue([one, Known("two")]).resolve("org/a") == (Target(one, "org/a"),)


async def test_a_model_that_two_have_is_refused_with_the_ways_to_choose() -> None:
    catalogue = Catalogue([Known("one", "a"), Known("two", "a")])

    assert await refusal(catalogue, "a") == (
        400,
        "more than one upstream has the model 'a': ask for one of one/a, two/a",
    )


async def test_a_model_that_nobody_has_is_refused_with_those_there_are() -> None:
    catalogue = Catalogue([Known("one", "a"), Known("two", "b")])

    assert await refusal(catalogue, "c") == (404, "no upstream has the model 'c'; there is a, b")


async def test_where_there_are_no_models_the_refusal_says_so() -> None:
    assert await refusal(Catalogue([Known("one"), Known("two")]), "c") == (
        404,
        "no upstream has the model 'c'; there is none",
    )


async def test_no_model_means_the_only_upstream() -> None:
    one = Known("one", "a")

    assert await Catalogue([one]).resolve(None) == (Target(one, None),)
    assert (await refusal(Catalogue([one, Known("two")]), None))[0] == 400
    assert (await refusal(Catalogue([one, Known("two")]), ""))[0] == 400


async def test_the_only_upstream_that_cannot_say_judges_itself() -> None:
    silent = Known("silent", says=False)

    assert await Catalogue([silent]).resolve("x") == (Target(silent, "x"),)
    assert await Catalogue([silent, Known("two", "a")]).resolve("x") == (Target(silent, "x"),)


async def test_an_upstream_that_cannot_say_does_not_hide_the_others() -> None:
    two = Known("two", "a")
    catalogue = Catalogue([Known("silent", says=False), two])

    assert await catalogue.resolve("a") == (Target(two, "a"),)
    assert [model["upstream"] for model in await catalogue.models()] == ["two"]


async def test_of_two_that_cannot_say_one_has_to_be_chosen() -> None:
    silent = [Known("one", says=False), Known("two", says=False)]

    status, _ = await refusal(Catalogue(silent), "x")

    assert status == 404


async def test_a_model_that_has_come_since_is_found_when_the_list_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Known("one", "a")
    catalogue = Catalogue([one])
    await catalogue.models()
    one.list.append("b")

    assert (await refusal(catalogue, "b"))[0] == 404, "it is asked too often"
    monkeypatch.setattr(module, "RETRY_S", 0)
    assert await catalogue.resolve("b") == (Target(one, "b"),)


async def test_an_upstream_that_falls_silent_keeps_its_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0)
    monkeypatch.setattr(module, "FRESH_S", 0)
    one = Known("one", "a")
    catalogue = Catalogue([one])
    await catalogue.models()
    one.says = False

    assert [model["id"] for model in await catalogue.models()] == ["a"]
    assert await catalogue.resolve("a") == (Target(one, "a"),)


async def test_an_upstream_that_does_not_answer_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Hanging(Known):
        async def models(self) -> list[Object]:
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

    monkeypatch.setattr(module, "ASK_S", 0.05)
    two = Known("two", "a")
    catalogue = Catalogue([Hanging("hanging"), two])

    assert await catalogue.resolve("a") == (Target(two, "a"),)
    assert "upstream hanging does not say which models it has: no answer in time" in caplog.text


def test_an_upstream_is_known_by_its_name() -> None:
    one, two = Known("one"), Known("two")
    catalogue = Catalogue([one, two])

    assert catalogue.upstreams == (one, two)
    assert catalogue.upstream("two") is two
    with pytest.raises(Refusal) as refused:
        catalogue.upstream("three")
    assert refused.value.message == "no upstream 'three'; there is one, two"


# Routes


def routed(*upstreams: Known, **routes: tuple[str, ...]) -> Catalogue:
    return Catalogue(upstreams, [Route(model=name, targets=targets) for name, targets in routes.items()])


async def test_a_route_leads_to_its_targets_in_their_order_without_asking() -> None:
    one, two = Known("one", "a"), Known("two", "b")
    catalogue = routed(one, two, smart=("two/org/b", "one/a"))

    assert await catalogue.resolve("smart") == (Target(two, "org/b"), Target(one, "a"))
    assert (one.asked, two.asked) == (0, 0)


async def test_a_route_comes_before_a_model_of_the_same_name_which_can_still_be_named() -> None:
    one, two = Known("one", "a"), Known("two", "b")
    catalogue = routed(one, two, a=("two/b",))

    assert await catalogue.resolve("a") == (Target(two, "b"),)
    assert await catalogue.resolve("one/a") == (Target(one, "a"),)


async def test_routes_are_listed_before_the_models_with_their_first_upstream() -> None:
    one, two = Known("one", "a"), Known("two", "b")

    models = await routed(one, two, smart=("two/b", "one/a")).models()

    assert [(model["id"], model["upstream"]) for model in models] == [("smart", "two"), ("a", "one"), ("b", "two")]
    assert models[0] == {"id": "smart", "object": "model", "created": 0, "owned_by": "tailrace", "upstream": "two"}


async def test_the_name_of_a_route_is_told_from_a_models() -> None:
    catalogue = routed(Known("one", "a"), smart=("one/a",))

    assert [catalogue.route(name) for name in ("smart", "a", "one/a", None)] == ["smart", None, None, None]
