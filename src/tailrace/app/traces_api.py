"""The API of the traces: lists, documents, live streams, files. See docs/reference/traces-api.md.

Rules: what reads the library or makes a document does it in a thread, in its turn (`reading.py`), and the codec writes
it, not the framework: the relay shares this process. What lasts goes from its source to the server with nothing
between. Every parameter is checked, and one that is not known is refused, since it would be a mistake that nobody sees.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import islice
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.routing import APIRoute

from tailrace.app.api_error import HEADERS, ApiError
from tailrace.app.api_schemas import Responses, answers, errors, files
from tailrace.app.live_response import Followers, Live
from tailrace.app.reading import Pieces, Readers
from tailrace.errors import TooManyEvents
from tailrace.llm.codec import dumps
from tailrace.tape import Library
from tailrace.tape.indexer import gently
from tailrace.traces import as_converted, as_wire, diff_traces, exported, parse_filter
from tailrace.traces.copying import copied
from tailrace.traces.diff import Align, Trace
from tailrace.traces.live_list import LiveList
from tailrace.traces.live_stream import live_trace
from tailrace.traces.opened import Opened
from tailrace.traces.position import position_now
from tailrace.traces.row import Rows, as_row

MAX_LIMIT = 1000
MAX_DIFF_EVENTS = 200_000
"""Of each trace. The command line compares longer ones, in a process of its own."""
MAX_FILTER_CHARACTERS = 4000
MAX_ID_CHARACTERS = 2000

CopyForm = Literal["curl", "python", "test"]
_EVENTS = "text/event-stream"
FileFormat = Literal["json", "jsonl", "har", "sse", "cast"]
_FILE_TYPES = {
    "json": "application/json",
    "jsonl": "application/jsonl",
    "har": "application/json",
    "sse": "text/event-stream",
    "cast": "application/x-asciicast",
}

FilterText = Annotated[
    str, Query(alias="filter", max_length=MAX_FILTER_CHARACTERS, description="Such as `model:smol outcome:truncated`.")
]
Cursor = Annotated[
    str | None, Query(pattern="^[0-9A-Z]{26}$", description="`next_cursor` of the page before: the rest of the list.")
]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many at most.")]
PageLimit = Annotated[int, Query(alias="limit", ge=1, le=MAX_LIMIT, description="How many at most; fewer after 1 MB.")]
First = Annotated[int, Query(alias="from", ge=1, le=2**53, description="The number of the first one.")]
After = Annotated[str | None, Query(max_length=MAX_ID_CHARACTERS, description="The id up to which all is known.")]
LastId = Annotated[
    str | None, Header(alias="Last-Event-ID", max_length=MAX_ID_CHARACTERS, description="The same, when coming back.")
]
Converted = Annotated[bool, Query(description="The upstream's bytes, where the client got them in another form.")]


def traces_api(library: Library, followers: Followers) -> APIRouter:
    """The routes below `/api/traces`. Access is not their affair."""
    router = APIRouter(prefix="/api/traces", tags=["traces"], dependencies=[Depends(check_names)])
    opened, rows, changes = Opened(library), Rows(library), LiveList(library)
    readers = Readers()

    async def quick(job: Callable[[], object]) -> Response:
        return json_response(await readers.look(lambda: dumps(job())))

    async def derived(request: Request, job: Callable[[], object]) -> Response:
        return json_response(await readers.derive(request, lambda: dumps(job())))

    async def read_before(request: Request, id: str, job: Callable[[], object]) -> Response:
        """Of a trace that somebody has looked at, a document is quick."""
        is_kept = await readers.look(lambda: opened.is_at_hand(id))
        return await (quick(job) if is_kept else derived(request, job))

    @router.get("", summary="The traces that a filter lets through, newest first", responses=answers("Rows"))
    async def list_traces(filter_text: FilterText = "", cursor: Cursor = None, limit: Limit = 50) -> Response:
        wanted = parse_filter(filter_text)

        def page() -> object:
            live_id = position_now(library)  # before the page, so that what comes meanwhile is told
            found = library.list(wanted, cursor=cursor, limit=limit)
            unsettled = set(library.unsummarised())
            shown = [
                rows.row(tape) if tape.outcome is None or tape.id in unsettled else as_row(tape) for tape in found.tapes
            ]
            unindexed = library.unindexed()
            return {"traces": shown, "next_cursor": found.next_cursor, "live_id": live_id, "unindexed": unindexed}

        return await quick(page)

    @router.get("/live", summary="The same list, as it changes", responses=files(_EVENTS))
    async def live_list(filter_text: FilterText = "", after: After = None, last_event_id: LastId = None) -> Response:
        wanted = parse_filter(filter_text)

        async def begin() -> Live:
            return Live(changes.follow(wanted, last_event_id or after))

        return followers.answer(begin)

    @router.get("/diff", summary="Two traces, compared", responses={**answers("Diff"), **errors(404, 409, 413)})
    async def diff(request: Request, a: str, b: str, align: Align = "start") -> Response:
        def compared() -> bytes:
            try:
                found = diff_traces(_trace(library, a), _trace(library, b), align=align, max_events=MAX_DIFF_EVENTS)
            except TooManyEvents as error:
                raise ApiError(413, "too_many_events", str(error), hint=f"tailrace trace diff {a} {b}") from error
            return dumps(found)

        return json_response(await readers.compare(request, compared))

    @router.get("/{id}", summary="A trace: its row, the request, both heads", responses=_of_one(answers("Trace")))
    async def trace(id: str) -> Response:
        return await quick(lambda: opened.trace(id))

    @router.get("/{id}/timeline", summary="Every read and event, as columns", responses=_of_one(answers("Timeline")))
    async def timeline(request: Request, id: str) -> Response:
        return await read_before(request, id, lambda: opened.timeline(id))

    @router.get("/{id}/events", summary="The events with their data", responses=_of_one(answers("Events")))
    async def events(request: Request, id: str, first: First = 1, limit: PageLimit = 200) -> Response:
        return await read_before(request, id, lambda: opened.events(id, first, limit))

    @router.get("/{id}/chunks", summary="Everything that is on the tape", responses=_of_one(answers("Chunks")))
    async def chunks(id: str, first: First = 1, limit: PageLimit = 200) -> Response:
        return await quick(lambda: opened.chunks(id, first, limit))

    @router.get("/{id}/message", summary="What the answer adds up to", responses=_of_one(answers("Message")))
    async def message(request: Request, id: str) -> Response:
        return await derived(request, lambda: opened.message(id))

    @router.get(
        "/{id}/copy/{form}",
        summary="The request as something to run: for curl, for Python, as a test",
        responses=_of_one(files("text/plain")),
    )
    async def copy(request: Request, id: str, form: CopyForm) -> Response:
        def text() -> bytes:
            tape = library.open(id)
            return copied(form, tape, library.exchange(tape.id), str(request.base_url).rstrip("/")).encode()

        return Response(await readers.look(text), headers=HEADERS, media_type="text/plain")

    @router.get("/{id}/live", summary="A stream in flight, as it goes on", responses=_of_one(files(_EVENTS)))
    async def live(request: Request, id: str, after: After = None, last_event_id: LastId = None) -> Response:
        async def begin() -> Live:
            position = last_event_id or after
            async with readers.deriving(request) if position else nullcontext():  # all up to there is read again
                found = await live_trace(library, id, position)
            return Live(found.parts, {"Tailrace-Resume": found.verdict})

        return followers.answer(begin)

    @router.get("/{id}/raw", summary="The bytes as the client got them", responses=_of_one(files("text/plain")))
    async def raw(id: str, converted: Converted = False) -> Response:
        tape = await readers.look(lambda: library.open(id))
        select = as_converted if converted else as_wire
        headers = {"Content-Security-Policy": "default-src 'none'; sandbox"}
        return Pieces(select(library.frames(tape.id)), readers.look, headers, "text/plain; charset=utf-8")

    @router.get(
        "/{id}/export/{format}",
        summary="A trace as a file, as `tailrace trace export` writes it",
        responses=_of_one(files(*_FILE_TYPES.values())),
    )
    async def export(request: Request, id: str, format: FileFormat) -> Response:
        def content() -> tuple[str, Iterator[bytes]]:
            tape = library.open(id)
            return tape.id, exported(format, tape, library.exchange(tape.id), gently(library.frames(tape.id)))

        async def read(job: Callable[[], bytes]) -> bytes:
            return await readers.derive(None, job)  # whether the client has left is looked at all the while

        tape_id, parts = await readers.derive(request, content)
        headers = {"Content-Disposition": f'attachment; filename="tailrace-{tape_id}.{format}"'}
        return Pieces(parts, read, headers, _FILE_TYPES[format])

    @router.delete(
        "/{id}",
        status_code=204,
        summary="Deletes a trace that has ended",
        responses={204: {"description": "It is gone."}, **errors(404, 409)},
    )
    async def delete(id: str) -> Response:
        def gone() -> None:
            tape = library.open(id)
            if library.delete([tape.id]):
                return
            if library.open(tape.id).outcome is None:  # which raises that it is gone, where another has deleted it
                hint = "it can be deleted when it has ended"
                raise ApiError(409, "still_open", f"the trace {tape.id} is still being recorded", hint=hint)
            raise ApiError(500, "not_deleted", f"the trace {tape.id} is still there", hint="try again in a moment")

        await readers.look(gone)
        return Response(status_code=204, headers=HEADERS)

    return router


def json_response(body: bytes) -> Response:
    """An answer of the API, from what the codec has written."""
    return Response(body, headers=HEADERS, media_type="application/json")


def check_names(request: Request) -> None:
    """Raises `ApiError` for a parameter that the route does not have, and for one that is there twice."""
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    known = [field.alias for field in route.dependant.query_params]
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(known) or 'none'}"
            raise ApiError(400, "bad_parameter", f"there is no parameter {name!r}", hint=hint, parameter=name)
        if name in seen:
            raise ApiError(400, "bad_parameter", f"the parameter {name} is there twice", parameter=name)
        seen.add(name)


def _of_one(responses: Responses) -> Responses:
    """For a route of one trace."""
    return {**responses, **errors(404, 409)}


def _trace(library: Library, tape_id: str) -> Trace:
    tape = library.open(tape_id)
    frames = gently(library.frames(tape.id))
    return Trace(tape, library.exchange(tape.id), list(islice(frames, MAX_DIFF_EVENTS + 1)))  # one more is too many
