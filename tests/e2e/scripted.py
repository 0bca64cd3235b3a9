"""Gateways before a scripted upstream for real clients, with heartbeats as often as can be."""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path
from typing import Any

from e2e.ask import Ask
from e2e.scenes import Scene
from support.server import Server, write_config
from support.upstream import PATIENCE_S, Call, Step
from tailrace.errors import TapeNotFound
from tailrace.tape import Filter, Library, Origin

_SESSIONS = (f"clients-{os.getpid()}-{number}" for number in itertools.count())
_EMPTY_CHUNK = b'"delta":{},"finish_reason":null'
_BEATS = (b": keepalive", b"event: ping\n")


def configured(folder: Path, url: str, style: str, **more: Any) -> Path:
    """A configuration with these models: `native` is asked for what the client asks for, `paced` never for a stream,
    and the same with `claude-` before for Messages. `more` is added to the table `[gateway]`."""

    def upstream(name: str, kind: str, **settings: str) -> dict[str, Any]:
        return {"name": name, "kind": kind, "base_url": f"{url}/v1", "models": [name], **settings}

    return write_config(
        folder,
        [
            upstream("native", "openai"),
            upstream("paced", "openai", streaming="paced"),
            upstream("claude-native", "anthropic"),
            upstream("claude-paced", "anthropic", streaming="paced"),
        ],
        gateway={
            "heartbeat": {"style": style, "every_s": 0.01},
            "pace": {"words_per_s": 1000, "max_total_s": 0.05},
            **more,
        },
    )


def asking(server: Server, api: str, model: str, scene: Scene | None = None, *, stream: bool = True) -> Ask:
    """A request in a session of its own, for what is in the scene."""
    return Ask(
        api,
        f"http://127.0.0.1:{server.port}",
        f"claude-{model}" if api == "messages" else model,
        next(_SESSIONS),
        stream=stream,
        has_tools=scene is not None and scene.name == "tools",
        choices=1 if scene is None else len(scene.heard.texts),
    )


def is_beat(origin: Origin, data: bytes, style: str) -> bool:
    """Whether a frame is a heartbeat: in this style, or in the one that its API has instead."""
    if origin is not Origin.TAILRACE:
        return False
    return data.startswith(_BEATS) or (style == "chunk" and _EMPTY_CHUNK in data)


def until_beaten(server: Server, session: str, style: str) -> Step:
    """Waits until the tape of the session has a heartbeat. Goes on without one when there is none: the test will see
    that."""

    def is_beaten(library: Library) -> bool:
        try:
            tapes = library.list(Filter.where(session=session)).tapes
            return any(is_beat(each.origin, each.data, style) for tape in tapes for each in library.frames(tape.id))
        except TapeNotFound:
            return False

    async def step(connection: Any, call: Call) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        with Library(f"sqlite:///{server.library_path}") as library:
            while not is_beaten(library) and loop.time() < deadline:
                await asyncio.sleep(0.005)

    return step
