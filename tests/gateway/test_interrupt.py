"""A stretch of a task that others may end, at every moment, and what is left of that afterwards."""

from __future__ import annotations

import asyncio

import pytest

from tailrace.gateway.interrupt import Interruptible


async def test_an_interruption_ends_the_stretch_and_nothing_else() -> None:
    stretch = Interruptible()
    asyncio.get_running_loop().call_soon(stretch.interrupt)

    async with stretch:
        await asyncio.Event().wait()
        raise AssertionError("it was not ended")

    await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_stretch_that_nobody_interrupts_is_nothing_special() -> None:
    async with Interruptible():
        await asyncio.sleep(0)

    with pytest.raises(ZeroDivisionError):
        async with Interruptible():
            raise ZeroDivisionError


async def test_outside_its_stretch_it_ends_nothing() -> None:
    stretch = Interruptible()
    stretch.interrupt()
    async with stretch:
        await asyncio.sleep(0)
    stretch.interrupt()
    await asyncio.sleep(0)


async def test_an_interruption_that_comes_when_the_stretch_is_over_does_not_hit_what_follows() -> None:
    stretch = Interruptible()
    async with stretch:
        stretch.interrupt()  # and then there is nothing more to wait for

    await asyncio.sleep(0)


async def test_a_second_interruption_changes_nothing() -> None:
    stretch = Interruptible()
    for _ in range(2):
        asyncio.get_running_loop().call_soon(stretch.interrupt)

    async with stretch:
        await asyncio.Event().wait()
    await asyncio.sleep(0)


async def test_an_error_on_the_way_out_is_not_swallowed() -> None:
    stretch = Interruptible()
    asyncio.get_running_loop().call_soon(stretch.interrupt)

    async def fails() -> None:
        async with stretch:
            try:
                await asyncio.Event().wait()
            finally:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    await asyncio.sleep(0)


@pytest.mark.parametrize("order", ["interrupted first", "cancelled first"])
async def test_another_cancellation_goes_on_through_it(order: str) -> None:
    stretch, inside, after = Interruptible(), asyncio.Event(), []

    async def work() -> None:
        async with stretch:
            inside.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        after.append("it went on")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(work(), name="work")
        await inside.wait()
        for end in (stretch.interrupt, task.cancel)[:: 1 if order == "interrupted first" else -1]:
            end()

    assert (task.cancelled(), after) == (True, [])


async def test_of_nested_stretches_only_the_one_that_is_meant_ends() -> None:
    outer, inner, steps = Interruptible(), Interruptible(), []
    asyncio.get_running_loop().call_soon(inner.interrupt)

    async with outer:
        async with inner:
            await asyncio.Event().wait()
        steps.append("after the inner one")
        asyncio.get_running_loop().call_soon(outer.interrupt)
        await asyncio.Event().wait()

    assert steps == ["after the inner one"]


async def test_the_outer_one_ends_both() -> None:
    outer, steps = Interruptible(), []
    asyncio.get_running_loop().call_soon(outer.interrupt)

    async with outer:
        async with Interruptible():
            await asyncio.Event().wait()
        steps.append("it went on")

    assert steps == []
