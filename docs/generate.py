"""Writes the parts of the documentation that the code can say itself: `python docs/generate.py`.

A page has such a part between `<!-- generated: NAME ARGUMENTS -->` and `<!-- end -->`; everything else on it is
written by hand. `tests/test_docs.py` fails when a part is not what the code says now.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import io
import re
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import click
from click.testing import CliRunner
from pydantic import BaseModel

from tailrace.app.config import Config, variables
from tailrace.cli import main as command_line
from tailrace.gateway.settings import (
    HttpUpstreamSettings,
    LocalUpstreamSettings,
    PriceSettings,
    Route,
    UpstreamSettings,
)
from tailrace.llm.anthropic_messages import MESSAGES
from tailrace.llm.openai_chat import CHAT, COMPLETIONS
from tailrace.llm.openai_responses import RESPONSES
from tailrace.llm.plain import PLAIN
from tailrace.tape.redaction import FIELDS, HEADERS, QUERY_KEYS

DOCS = Path(__file__).resolve().parent
PART = re.compile(r"(<!-- generated: (\S+) ?([^>]*?) -->\n).*?(<!-- end -->)", re.DOTALL)

BOUNDS = {
    "gateway.request.MAX_SESSION_CHARACTERS": "A longer `X-Tailrace-Session` is refused: 400 `invalid_session`.",
    "gateway.request.MAX_TAGS": "More tags in `X-Tailrace-Tags` are refused: 400 `invalid_tags`.",
    "gateway.exchange.HEAD_ON_DISK_S": "How long the dialling waits for the tape's head to be on disk. After it, "
    "the upstream is dialled anyway.",
    "gateway.downstream.TELL_S": "How long a client that takes nothing is waited for when it is to hear of an error. "
    "After it, the connection is broken off.",
    "gateway.attempts.MAX_HELD_BYTES": "How much of a stream is held back for its first output while there is another "
    "attempt to make. A longer beginning is passed on, and is the last attempt.",
    "gateway.conversion.MAX_WHOLE_BYTES": "The longest answer that is gathered to be given in another form. A longer "
    "one is an error, `answer_too_large`.",
    "gateway.wheel.TICK_S": "How often deadlines and heartbeats are looked at, so each may be late by this much.",
    "gateway.gateway._CLOSE_S": "How long a shutdown waits for the tapes of exchanges that it has ended.",
    "gateway.catalogue.FRESH_S": "How long a list of models is kept before `/v1/models` asks the upstreams again.",
    "gateway.catalogue.RETRY_S": "How often, at most, the upstreams are asked again because of an unknown model.",
    "gateway.catalogue.ASK_S": "How long an upstream may take to say its models. After it, a warning is logged and "
    "what was known before stays.",
    "gateway.upstream.MAX_MODELS_BYTES": "What is read of an upstream's list of models. A longer list is cut, is then "
    "no JSON, and counts as no answer.",
    "gateway.metrics.MAX_MODELS": "How many models have a label of their own in `/metrics`; the others are `other`.",
    "gateway.metrics.MAX_MODEL_CHARACTERS": "A model with a longer name is `other` there.",
    "gateway.metrics.SAMPLE_S": "How often a worker tells the others how its recorder is doing.",
    "gateway.state_file.LOOK_S": "How often, at most, the gateway looks whether its keys, or what other processes "
    "have seen of streaming, have changed. What `tailrace key` does holds after it.",
    "gateway.detection.MAX_REFUSAL_BYTES": "An error with a longer body is not searched for what it says of streaming.",
    "gateway.detection.MAX_REMEMBERED": "Of how many models it is remembered whether they stream. With more, those "
    "that were seen first are forgotten.",
    "gateway.detection.MAX_MODEL_CHARACTERS": "Of a model with a longer name it is not remembered.",
    "gateway.allowance.WINDOW_S": "The time over which the requests of a key are counted.",
    "gateway.allowance.SHARED_S": "How long a shared counter of requests may take. After it, each process counts for "
    "itself.",
    "gateway.allowance.SHARED_RETRY_S": "The wait before a shared counter that failed is asked again.",
    "cli.key.MAX_NAME_CHARACTERS": "The longest name of a key. A longer one is refused.",
    "gateway.local.RESTART_S": "The wait before the process of a local model is started again.",
    "gateway.local.STOP_S": "How long that process may take to end; then it is killed.",
    "gateway.local.MAX_LOG_LINE_BYTES": "About how much of one line of its log is taken; a longer one comes in parts.",
    "client.dialer.NAME_S": "How long the addresses of an upstream's name are kept.",
    "client.dialer.NEXT_ADDRESS_S": "After how long without an answer the next address of a name is tried beside it.",
    "client.pool.KEEP_ALIVE_S": "How long an idle connection to an upstream is kept for the next request.",
    "client.pool.MAX_IDLE_CONNECTIONS": "Idle connections that are kept to one host and port. One more, and the one "
    "that was idle longest is closed. Those at work have no bound.",
    "client.response.MAX_HEADER_BYTES": "The longest head of an upstream's answer, informational ones before it "
    "counted. Above it, `upstream_broken`.",
    "client.response.READ_BUFFER_BYTES": "What is read ahead of a slow client, and what one more read of the socket "
    "brings. Then the upstream is slowed down.",
    "llm.watch.MAX_HELD_BYTES": "What is held of one event that comes in pieces, to see whether it is the terminal "
    "event. A longer one is relayed and recorded, and counts as not terminal.",
    "llm.synthesis.MAX_PIECE_GRAPHEMES": "How many characters one piece of a text has at most, when a whole answer is "
    "made a stream.",
    "llm.watch.LOOK_S": "How exactly it is known when the last event came that shows that the model works.",
    "llm.watch.MAX_SOUGHT_EVENTS": "Among how many events of a stream the first content is looked for. If it comes "
    "later, metrics and spans have no time to it; the tape has.",
    "llm.watch.MAX_SOUGHT_BYTES": "The longest event that is looked at for that. A longer one counts as work.",
    "llm.summary._MAX_BODY_BYTES": "The longest answer in one piece that is parsed for its token counts. A longer one "
    "has none in lists.",
    "tape.recorder.BATCH_S": "How long the recorder gathers before it writes.",
    "tape.recorder.YIELD_AFTER_S": "How long the recorder works before it lets the relay run.",
    "tape.recorder.YIELD_S": "For how long it then does.",
    "tape.recorder.RETRY_S": "The wait before the next attempt when the library cannot be written.",
    "tape.recorder.MAX_UNSAVED_BYTES": "The memory of what waits for the disk, over all tapes. Bytes beyond it are "
    "relayed but not recorded, and counted as lost.",
    "tape.recording.HEAD_BYTES": "What a tape counts for in that memory besides its request's headers and body.",
    "tape.recording.FRAME_BYTES": "What a frame counts for in it besides its bytes.",
    "tape.recording.MAX_BATCH_BYTES": "About how much memory's worth of one tape is written at a time.",
    "tape.recording.MAX_ERROR_CHARACTERS": "How much is kept of the line that says why a tape ended. The rest is cut.",
    "tape.recording.MAX_FOLLOWER_FRAMES": "How far a live follower may fall behind. Then it reads the stored part "
    "again; it misses nothing.",
    "tape.blocks.MAX_PACKED_BYTES": "What one packed block holds before compression; a longer tape has several.",
    "tape.blocks.MAX_PACKED_FRAMES": "And how many frames.",
    "tape.packer.CLOSE_S": "How long closing a library works on tapes that are not packed yet. The rest is packed "
    "when it is next opened for recording.",
    "tape.packer.ABANDONED_S": "How often a process that records looks for tapes of processes that have died, to end "
    "and pack them.",
    "tape.packer.MAX_TOGETHER": "How many tapes are packed in one transaction.",
    "tape.indexer.LOOK_S": "How often it is looked for ended tapes that searches do not know yet.",
    "tape.indexer.MAX_TOGETHER": "How many tapes are made known to searches in one transaction.",
    "tape.indexer.MAX_TOGETHER_CHARACTERS": "And how much text.",
    "tape.indexer.MAX_FAILED": "How many tapes may turn out to be impossible to search. Then no others are looked at "
    "until the library is opened again.",
    "tape.texts.MAX_TEXT_CHARACTERS": "How much of a request, and how much of an answer, can be searched. Of a longer "
    "request it is the end, of a longer answer the beginning.",
    "tape.gaps.MAX_GAPS": "How many silences a list shows of a stream.",
    "tape.filter.MAX_CONDITIONS": "How many words a filter has at most. With more it is refused.",
    "tape.filter.MAX_VALUES": "How many values all of them have together. With more it is refused.",
    "tape.filter.MAX_BEGINNINGS": "How many beginnings of words (`riv*`) a filter has at most. With more it is "
    "refused.",
    "tape.stores.sqlite_page.PAGE_S": "After which time a page of a list looks no further, unless it has just begun. "
    "If it is not full then, its cursor leads on from there.",
    "tape.stores.sqlite_page.MAX_SCANNED": "How many tapes one page of a list looks at. If it is not full then, its "
    "cursor leads on from there.",
    "tape.library.POLL_S": "How often a follower in another process than the recorder's looks for news.",
    "tape.library.MAX_PAGE": "The most tapes in one page of `Library.list`. A higher limit is a `ValueError`.",
    "tape.stores.sqlite_file.BUSY_MS": "How long a process waits for another one that is writing the library. Then the "
    "command or the batch fails; the recorder tries again.",
    "sse.decoder.DEFAULT_MAX_EVENT_BYTES": "The longest event that a `Decoder` holds, unless told otherwise. A longer "
    "one raises `EventTooLarge`.",
    "sse.decoder.MAX_RECONNECTION_TIME_MS": "The longest reconnection time that a `Decoder` reports; a longer `retry` "
    "is cut to it.",
    "sse.event.MAX_RETRY_DIGITS": "The longest `retry` that is read and written exactly.",
    "traces.changes.MAX_ALIGNED_PAIRS": "How many pairs of items two lists may have to be aligned. In longer ones, "
    "what is equal at the same place is taken for the same item.",
    "traces.changes.MAX_DIFFED_WORDS": "How many words, without the same beginning and end, each of two texts may have "
    "to be compared by words. Longer texts are compared by lines, with more lines than this as a whole.",
    "traces.changes.MAX_WORD_PAIRS": "How many pairs of equal words they may have for that.",
    "llm.said.MAX_DEPTH": "How deep a JSON value may be to be compared, or taken for what a model said. A deeper "
    "one is text.",
    "cli.diff.MAX_SHOWN_CHARACTERS": "How much of one value `tailrace trace diff` shows, and how much of a text that "
    "is the same is not left out. `--json` has everything.",
    "traces.importing.MAX_IMPORT_BYTES": "The largest file that `trace import` reads. A larger one is refused.",
    "traces.mock.LINGER_S": "How long `tailrace mock` throws away what a client still sends after a refusal, so that "
    "it can read the refusal.",
    "traces.mock.TAKEN_S": "How long a reset of it waits for the client to have what was sent before.",
    "traces.mock.MAX_WAITING_REQUESTS": "How many requests of one connection it reads ahead of their turn.",
    "traces.mock_answer.MAX_MOCK_BYTES": "What all traces of one mock have in memory. With more it does not start.",
    "traces.mock_faults.MAX_STALL_S": "The longest `stall` among its faults. A longer one is refused.",
    "traces.mock_matching.MAX_COMPARED": "Among how many of its traces it looks for the nearest to a request.",
    "traces.mock_matching.MAX_SHOWN_CHARACTERS": "How much it shows of a value that differs there.",
    "traces.mock_request.MAX_HEAD_BYTES": "The longest head of a request to it. A longer one is answered with 431.",
    "traces.mock_request.MAX_BODY_BYTES": "The longest body of a request to it. A longer one is answered with 413.",
    "cli.mock.MAX_SHOWN_TRACES": "How many of its traces it names at the start.",
    "llm.scan.MAX_EVENT_BYTES": "The longest event that is read back from a tape. For the timeline and for figures, "
    "what follows a longer one are only reads; elsewhere it raises `EventTooLarge`.",
    "llm.prompt.MAX_PREVIEW_CHARACTERS": "How much a list shows of the last thing that the user said.",
    "llm.texts.MAX_READ_BYTES": "How much of an answer is read for the text that a search knows of it.",
    "traces.row.MAX_PREVIEWS": "How many such beginnings are remembered of traces that are not summarised yet.",
    "traces.detail.MAX_PAGE_BYTES": "With how much data a page of events or chunks ends, even if more was asked for.",
    "traces.opened.MAX_OPENED": "How many traces are kept as they were read, for the next question about them.",
    "traces.opened.MAX_OPENED_BYTES": "How much memory these take. One that would take more than half of it is read "
    "anew for each question.",
    "traces.live_stream.LOOK_S": "How often a stream in flight is looked at for somebody who follows it.",
    "traces.live_stream.IDLE_LOOK_S": "The same when nothing has come for 2 s.",
    "traces.live_stream.HEARTBEAT_S": "After how much silence a follower of a trace is sent a comment.",
    "traces.live_stream.SETTLE_S": "How long its end waits for the tokens of the trace.",
    "traces.live_stream.MAX_BATCH_FRAMES": "How many reads of a trace one event has at most for its follower.",
    "traces.live_stream.MAX_BATCH_BYTES": "With how many bytes of them it ends.",
    "traces.live_list.LOOK_S": "How often the list is looked at for all who follow it. After a look that took long, "
    "the next one comes ten times as long after it.",
    "traces.live_list.STATE_S": "After how much silence a follower of the list is sent its state.",
    "traces.live_list.MAX_SENT_AGAIN": "How many traces may have changed for somebody who comes back. If there are "
    "more, a `reset` is sent.",
    "traces.lookout.MAX_CHANGED": "How many may have changed between two looks. If there are more, everybody is sent "
    "one.",
    "traces.live_list.MAX_REMEMBERED_ROWS": "How much of what was found is kept for followers that are slow. One that "
    "has missed more is sent a `reset`.",
    "traces.live_list.MAX_UNSURE": "How many traces a follower with a filter for text is asked for again, since a "
    "search knows a trace only some time after its end.",
    "traces.position.LATE_MS": "How much later than it began a trace may appear in the library for those who follow "
    "the list to see it at once.",
    "traces.position.MAX_WAITING_IDS": "How many traces that were being recorded a position in the list names.",
    "app.request_head.MAX_HEAD_BYTES": "The longest head of a request. A longer one is answered with 431 "
    "`head_too_large`, and the connection is closed.",
    "app.serving.LAST_WORD_S": "How long, after the grace period, the last words to clients and tapes may take.",
    "app.serving.SWITCH_INTERVAL_S": "How long another thread may hold the interpreter while the relay waits.",
    "app.serving.BACKLOG": "Connections that may wait to be accepted.",
    "app.retention.EVERY_S": "How often the server looks for traces that are older than `library.retain_days`.",
    "app.workers.RESTART_S": "The wait before a worker that has died is started again.",
    "app.workers.EARLY_S": "A worker that dies sooner after its start than this counts as dying at once.",
    "app.workers.MAX_EARLY_DEATHS": "How many times in a row a worker may die at once. Then all are stopped, and the "
    "command ends with 2.",
    "app.access.COOKIE_S": "How long a browser keeps the cookie that lets it into the web UI.",
    "app.pages.ASSETS_S": "How long it keeps the files of the UI whose names change with their content.",
    "app.status.ASK_S": "How long `/api/status` waits for an upstream to say its models.",
    "app.status.FRESH_S": "How long what it was told is good for the next who asks.",
    "app.live_response.MAX_FOLLOWERS": "How many can follow lists and traces in one process. One more is answered with "
    "503 `too_many_followers`.",
    "app.live_response.RETRY_AFTER_S": "When that one is told to ask again.",
    "app.traces_api.MAX_LIMIT": "The most traces, events or chunks in one answer. A higher limit is refused.",
    "app.traces_api.MAX_FILTER_CHARACTERS": "The longest filter. A longer one is refused.",
    "app.traces_api.MAX_ID_CHARACTERS": "The longest id to resume from. A longer one is refused.",
    "app.traces_api.MAX_DIFF_EVENTS": "The most events, and chunks, of a trace that the API compares.",
    "app.reading.MAX_AT_ONCE": "How many lists, rows and pages the API reads at once; others wait for their turn.",
    "app.reading.MAX_DOCUMENTS_AT_ONCE": "How many documents are made at once for which all of a trace is read.",
    "app.reading.MAX_DIFFS_AT_ONCE": "How many comparisons are made at once.",
    "app.reading.PIECE_BYTES": "In pieces of about this size a file is read and sent.",
    "app.doctor.SERVER_S": "How long a running server may take to tell `tailrace doctor` how it is.",
    "app.doctor.LOW_DISK_BYTES": "With less room for the library, `tailrace doctor` warns.",
    "app.upstream_check.ASK_S": "How long an upstream may take to answer it, and to say its models.",
    "app.upstream_check.MAX_NAMED": "How many models of an upstream it names in one line.",
    "app.probe.PROBE_S": "How long one request of it to a model may take.",
    "app.probe.MAX_PROBE_BYTES": "How much of the answer to that it reads.",
}
"""Every named bound in the code, with what happens at it."""

UNDOCUMENTED_KEYS = {
    "name": "What it is called in `upstream/model`, in `/relay/NAME/` and in lists.",
    "kind": "What it is.",
}
"""The meaning of keys that have no docstring in the code."""


def written_anew(page: str) -> str:
    """The text of a page with each generated part as the code has it now."""

    def replaced(found: re.Match[str]) -> str:
        return f"{found[1]}{PARTS[found[2]](found[3])}\n{found[4]}"

    return PART.sub(replaced, page)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command and group, with its full name."""
    with patch.object(sys, "argv", ["tailrace", "--help"]), contextlib.redirect_stdout(io.StringIO()):
        command_line.main()  # it gathers its groups when it runs

    def walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        yield name, command
        if isinstance(command, click.Group):
            for each in sorted(command.commands):
                yield from walk(f"{name} {each}", command.commands[each])

    return walk("tailrace", command_line.cli)


def help_of(name: str) -> str:
    """What `--help` says."""
    dict(commands())[name]
    result = CliRunner().invoke(command_line.cli, [*name.split()[1:], "--help"], prog_name="tailrace")
    return f"```\n{result.output.rstrip()}\n```"


def bounds(_: str) -> str:
    """The named bounds as a table."""
    rows = ["| name | value | what happens |", "|---|---|---|"]
    for name, meaning in BOUNDS.items():
        module, _, constant = name.rpartition(".")
        value = getattr(importlib.import_module(f"tailrace.{module}"), constant)
        rows.append(f"| `{name}` | {with_unit(constant, value)} | {meaning} |")
    return "\n".join(rows)


def with_unit(name: str, value: float) -> str:
    """A number with the unit that is in its name: `16 MiB`, `0.5 ms`."""
    if name.endswith("_BYTES"):
        mebi, kibi = divmod(value, 1024 * 1024), divmod(value, 1024)
        return f"{mebi[0]} MiB" if not mebi[1] else f"{kibi[0]} KiB" if not kibi[1] else f"{value} bytes"
    if name.endswith("_MS"):
        return f"{value / 1000:g} s" if value < 3_600_000 else f"{value / 3_600_000:g} h"
    if name.endswith("_S"):
        return f"{value:g} s" if value >= 0.1 else f"{value * 1000:g} ms"
    words = [word for word in ("characters", "tags", "frames", "digits") if name.lower().endswith(word)]
    return " ".join([f"{value}", *words])


def redacted_names(_: str) -> str:
    """The names that are redacted by default."""
    parts = [("Headers", HEADERS), ("JSON fields", FIELDS), ("Query keys and form fields", QUERY_KEYS)]
    return "\n".join(f"- {title}: {', '.join(f'`{name}`' for name in sorted(names))}." for title, names in parts)


def keys(_: str) -> str:
    """Every configuration key, a table for each TOML table."""
    common = HttpUpstreamSettings
    parts = [section(title, model, path) for title, model, path in nested(Config, ())]
    kinds = [model for model in get_args(get_args(UpstreamSettings)[0]) if issubclass(model, common)]
    shown = ", ".join(f'"{kind_of(model)}"' for model in kinds)
    parts.append(section(f"[[upstream]] at an address: kind = {shown}", common, None, without={"base_url"}))
    for model in kinds:
        inherited = set(common.model_fields) - {"base_url"}
        parts.append(section(f'[[upstream]] with kind = "{kind_of(model)}"', model, None, without=inherited))
    parts.append(section(f'[[upstream]] with kind = "{kind_of(LocalUpstreamSettings)}"', LocalUpstreamSettings, None))
    parts.append(section("[[route]]", Route, None))
    parts.append(section("[[price]]", PriceSettings, None))
    return "\n\n".join(parts)


def kind_of(model: type[BaseModel]) -> str:
    return str(get_args(model.model_fields["kind"].annotation)[0])


def nested(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[str, type[BaseModel], tuple[str, ...]]]:
    """The tables of the file, each with its model and its path, outer ones first."""
    if path:
        yield f"[{'.'.join(path)}]", model, path
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from nested(field.annotation, (*path, name))


def section(title: str, model: type[BaseModel], path: tuple[str, ...] | None, *, without: Collection[str] = ()) -> str:
    """One table of the file: its keys with type, default, meaning and variable."""
    says = docstrings(model)
    names = {of: name for name, of in variables().items()}
    schema = model.model_json_schema()
    rows = []
    for name, field in model.model_fields.items():
        if name in without or (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            continue
        value = field.get_default(call_default_factory=True)
        default = "required" if field.is_required() else "not set" if value is None else f"`{toml(value)}`"
        meaning = says.get(name) or UNDOCUMENTED_KEYS[name]
        variable = "" if path is None else f" `{names[*path, name]}`"
        type_ = kind(schema["properties"][name], schema.get("$defs", {}))
        rows.append(f"- **`{name}`** ({type_}; {default}){variable}  \n  {meaning}")
    return f"### `{title}`\n\n" + "\n".join(rows)


def docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The string below each attribute, in one line; what a model does not say itself, the one that it extends says."""
    parents = [parent for parent in model.__bases__ if issubclass(parent, BaseModel) and parent is not BaseModel]
    found = {name: says for parent in parents for name, says in docstrings(parent).items()}
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            text = following.value if isinstance(following, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                found[statement.target.id] = " ".join(text.value.split())
    return found


def kind(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """The type of a key in words, from its JSON schema."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    (schema,) = options
    if "const" in schema:
        return f'`"{schema["const"]}"`'
    if "enum" in schema:
        *others, last = (f'`"{value}"`' for value in schema["enum"])
        return f"{', '.join(others)} or {last}"
    if schema["type"] == "object":
        values = schema["additionalProperties"]
        return f"table from strings to {kind(values, definitions)}"
    if schema["type"] == "array":
        return f"list of {schema['items']['type']}s"
    text = {"string": "string", "integer": "integer", "number": "number", "boolean": "true or false"}[schema["type"]]
    text = {"path": "path"}.get(schema.get("format", ""), text)
    if "pattern" in schema:
        text += f" that matches `{schema['pattern']}`"
    if "minimum" in schema and "maximum" in schema:
        text += f", {schema['minimum']} to {schema['maximum']}"
    elif "minimum" in schema:
        text += f", {schema['minimum']} or more"
    elif "exclusiveMinimum" in schema:
        text += f" above {schema['exclusiveMinimum']}"
    return text


def toml(value: object) -> str:
    """A default as it is written in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name} = {toml(each)}' for name, each in value.items())}}}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def error_shapes(_: str) -> str:
    """For each dialect an error before the answer has begun, and the frame inside a stream."""
    parts = []
    for dialect in (CHAT, COMPLETIONS, RESPONSES, MESSAGES, PLAIN):
        body = dialect.error_body("MESSAGE", "TYPE", "CODE").decode()
        frame = dialect.error_frame("MESSAGE", "TYPE", "CODE").decode()
        shown = f"```\n{frame.rstrip()}\n```" if frame else "No frame: the connection is broken off."
        parts.append(f"**`{dialect.name}`**\n\n```json\n{body}\n```\n\n{shown}")
    return "\n\n".join(parts)


PARTS: dict[str, Callable[[str], str]] = {
    "help": help_of,
    "bounds": bounds,
    "redacted-names": redacted_names,
    "keys": keys,
    "error-shapes": error_shapes,
}

if __name__ == "__main__":
    for path in sorted(DOCS.rglob("*.md")):
        before = path.read_text(encoding="utf-8")
        if (after := written_anew(before)) != before:
            path.write_text(after, encoding="utf-8")
            print(f"wrote {path.relative_to(DOCS.parent)}")
