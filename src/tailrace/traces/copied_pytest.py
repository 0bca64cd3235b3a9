"""A test for pytest that asks again what a trace asked.

The rule: a model answers in other words each time, so the test says nothing of them. It checks what has to be so in
every good answer: the status, the stream's own end, why it ended, which tools were called, and that JSON is JSON.
"""

from __future__ import annotations

from tailrace.llm.codec import Object
from tailrace.tape import Exchange, Kind, Tape
from tailrace.traces.copied_python import SdkCall, extras, literal, python_text, sdk_call
from tailrace.traces.copied_request import CopiedRequest, copied_request, key_variable

_ENDED_TALKING = {"openai-chat": ("length", "stop"), "openai-completions": ("length", "stop"),
                  "anthropic-messages": ("end_turn", "max_tokens", "stop_sequence"),
                  "openai-responses": ("completed", "incomplete")}  # fmt: skip
"""Why an answer without tool calls may have ended: which of these it is, is chance."""
_CALLED = {"openai-chat": "tool_calls", "anthropic-messages": "tool_use"}


def as_test(tape: Tape, exchange: Exchange, address: str = "http://127.0.0.1:8080") -> str:
    """A module with one test. The address that is asked is in the environment, or `address`."""
    request = copied_request(tape, exchange)
    found = sdk_call(tape, request)
    return _with_urllib(tape, request, address) if found is None else _with_sdk(tape, request, *found, address)


def _with_sdk(tape: Tape, request: CopiedRequest, call: SdkCall, fields: Object, address: str) -> str:
    known = {name: value for name, value in fields.items() if name in call.known}
    others = extras(call, request, fields)
    streams = bool(fields.get("stream"))
    address_name = f"{call.package.upper()}_BASE_URL"
    base_url = address + str(request.path[0]).removesuffix(call.path)
    lines = [
        _title(tape),
        "",
        "import json",
        "import os",
        "",
        f"import {call.package}",
        *(["import pytest"] if _is_error(tape) else []),
        "",
        f"BASE_URL = os.environ.get({literal(address_name)}, {literal(base_url)})",
        f'KEY = os.environ.get({literal(key_variable(tape.dialect))}, "none")',
        f"REQUEST = {literal(known)}",
        "",
        "",
        f"def {_name(tape)}():",
        f"    client = {call.package}.{call.client}(base_url=BASE_URL, api_key=KEY, max_retries=0)",
    ]
    arguments = ", ".join(["**REQUEST", *others])
    asking = f"client.{call.method}.with_streaming_response.create({arguments})"
    if _is_error(tape):
        lines += [
            f"    with pytest.raises({call.package}.APIStatusError) as caught, {asking}:",
            "        pass",
            f"    assert caught.value.status_code == {tape.status}",
        ]
        return "\n".join(lines) + "\n"
    lines += [f"    with {asking} as response:", f"        assert response.status_code == {tape.status or 200}"]
    if streams:
        lines += [
            '        lines = [line for line in response.iter_lines() if line.startswith("data:")]',
            '    data = [line.removeprefix("data:").strip() for line in lines]',
        ]
    else:
        lines.append("        answer = json.loads(response.read())")
    checks = _CHECKS[tape.dialect, streams]
    lines += [f"    {line}" if line else "" for line in checks(tape, fields)]
    return "\n".join(lines) + "\n"


def _chat_stream(tape: Tape, fields: Object) -> list[str]:
    part = "delta" if tape.dialect == "openai-chat" else ""
    lines = [
        'assert data[-1] == "[DONE]"',
        'choices = [choice for item in data[:-1] for choice in json.loads(item).get("choices", [])]',
        'reasons = {choice["finish_reason"] for choice in choices if choice.get("finish_reason")}',
        *_reasons(tape),
    ]
    if not part:
        return lines
    if _tools(fields):
        lines += [
            "calls = {}",
            "for choice in choices:",
            '    for piece in choice["delta"].get("tool_calls") or []:',
            '        call = calls.setdefault((choice["index"], piece["index"]), {"name": "", "arguments": ""})',
            '        call["name"] += piece["function"].get("name") or ""',
            '        call["arguments"] += piece["function"].get("arguments") or ""',
            *_calls("calls.values()", 'call["name"]', 'json.loads(call["arguments"])', fields),
        ]
    if _wants_json(fields):
        lines.append('json.loads("".join(choice["delta"].get("content") or "" for choice in choices))')
    return lines


def _chat_whole(tape: Tape, fields: Object) -> list[str]:
    lines = ['reasons = {choice["finish_reason"] for choice in answer["choices"]}', *_reasons(tape)]
    if tape.dialect != "openai-chat":
        return lines
    if _tools(fields):
        lines += [
            'messages = [choice["message"] for choice in answer["choices"]]',
            'calls = [call["function"] for message in messages for call in message.get("tool_calls") or []]',
            *_calls("calls", 'call["name"]', 'json.loads(call["arguments"])', fields),
        ]
    if _wants_json(fields):
        lines.append('json.loads(answer["choices"][0]["message"]["content"])')
    return lines


def _responses_stream(tape: Tape, fields: Object) -> list[str]:
    return [
        "events = [json.loads(item) for item in data]",
        'assert events[-1]["type"] in ("response.completed", "response.incomplete")',
        'answer = events[-1]["response"]',
        *_responses_whole(tape, fields),
    ]


def _responses_whole(tape: Tape, fields: Object) -> list[str]:
    lines = ['assert answer["status"] in ("completed", "incomplete")']
    if _tools(fields):
        lines += [
            'calls = [item for item in answer["output"] if item["type"] == "function_call"]',
            *_calls("calls", 'call["name"]', 'json.loads(call["arguments"])', fields),
        ]
    format_ = fields.get("text")
    if isinstance(format_, dict) and _is_json(format_.get("format")):
        lines += [
            'parts = [part for item in answer["output"] for part in item.get("content") or []]',
            'json.loads("".join(part.get("text", "") for part in parts))',
        ]
    return lines


def _messages_stream(tape: Tape, fields: Object) -> list[str]:
    lines = [
        "events = [json.loads(item) for item in data]",
        'assert events[-1]["type"] == "message_stop"',
        'deltas = [event["delta"] for event in events if event["type"] == "message_delta"]',
        'reasons = {delta["stop_reason"] for delta in deltas if delta.get("stop_reason")}',
        *_reasons(tape),
    ]
    if _tools(fields):
        lines += [
            "calls = {}",
            "for event in events:",
            '    if event["type"] == "content_block_start" and event["content_block"]["type"] == "tool_use":',
            '        calls[event["index"]] = {"name": event["content_block"]["name"], "input": ""}',
            '    elif event["type"] == "content_block_delta" and event["delta"]["type"] == "input_json_delta":',
            '        calls[event["index"]]["input"] += event["delta"]["partial_json"]',
            *_calls("calls.values()", 'call["name"]', 'json.loads(call["input"] or "{}")', fields),
        ]
    return lines


def _messages_whole(tape: Tape, fields: Object) -> list[str]:
    lines = ['reasons = {answer["stop_reason"]}', *_reasons(tape)]
    if _tools(fields):
        lines += [
            'calls = [block for block in answer["content"] if block["type"] == "tool_use"]',
            *_calls("calls", 'call["name"]', 'isinstance(call["input"], dict)', fields),
        ]
    return lines


_CHECKS = {
    ("openai-chat", True): _chat_stream,
    ("openai-chat", False): _chat_whole,
    ("openai-completions", True): _chat_stream,
    ("openai-completions", False): _chat_whole,
    ("openai-responses", True): _responses_stream,
    ("openai-responses", False): _responses_whole,
    ("anthropic-messages", True): _messages_stream,
    ("anthropic-messages", False): _messages_whole,
}


def _reasons(tape: Tape) -> list[str]:
    """Of an answer that called tools, that it does; of any other, that it ended in one of the ways to end."""
    talking, called = _ENDED_TALKING[tape.dialect], _CALLED.get(tape.dialect)
    if tape.finish_reason is None:
        expected = (*talking, *([called] if called else []))
    else:
        expected = talking if tape.finish_reason in talking else (tape.finish_reason,)
    return ["assert reasons", f"assert reasons <= {{{', '.join(literal(reason) for reason in sorted(expected))}}}"]


def _calls(calls: str, name: str, parsing: str, fields: Object) -> list[str]:
    check = f"assert {parsing}" if parsing.startswith("isinstance") else parsing
    names = ", ".join(literal(tool) for tool in _tools(fields))
    return [f"for call in {calls}:", f"    assert {name} in {{{names}}}", f"    {check}"]


def _tools(fields: Object) -> list[str]:
    """The names of the tools that may be called."""
    names = []
    tools = fields.get("tools")
    for tool in tools if isinstance(tools, list) else []:
        of = tool.get("function", tool) if isinstance(tool, dict) else None
        name = of.get("name") if isinstance(of, dict) else None
        if isinstance(name, str):
            names.append(name)
    return names


def _wants_json(fields: Object) -> bool:
    return _is_json(fields.get("response_format")) and not _tools(fields)


def _is_json(format_: object) -> bool:
    return isinstance(format_, dict) and format_.get("type") in ("json_object", "json_schema")


def _is_error(tape: Tape) -> bool:
    return tape.status is not None and tape.status >= 400


def _title(tape: Tape) -> str:
    return f'"""Asks again what trace {tape.id} asked. The words of the answer may differ, its shape may not."""'


def _name(tape: Tape) -> str:
    return f"test_trace_{''.join(filter(str.isalnum, tape.id)).lower()}"


def _with_urllib(tape: Tape, request: CopiedRequest, address: str) -> str:
    status = tape.status or 200
    path = python_text(request.path)
    shown = "".join(f"        {literal(name)}: {python_text(value)},\n" for name, value in request.headers)
    lines = [
        _title(tape),
        "",
        "import json",
        "import os",
        "import urllib.error",
        "import urllib.request",
        "",
        f'ADDRESS = os.environ.get("TAILRACE_ADDRESS", {literal(address)})',
        f"BODY = {repr(request.body) if request.body else None}",
        "",
        "",
        f"def {_name(tape)}():",
        f"    headers = {{\n{shown}    }}",
        f"    request = urllib.request.Request(ADDRESS + {path}, BODY, headers, method={literal(request.method)})",
        "    try:",
        "        with urllib.request.urlopen(request) as answer:",
        "            status, body = answer.status, answer.read()",
        "    except urllib.error.HTTPError as error:",
        "        with error:",
        "            status, body = error.code, error.read()",
        f"    assert status == {status}",
        "    assert body" if tape.byte_count else "    assert not body",
    ]
    if tape.kind is Kind.NORMAL and tape.byte_count and tape.dialect != "plain":
        lines.append("    json.loads(body)")
    elif tape.kind is Kind.STREAM and tape.dialect == "ollama":
        lines.append('    assert json.loads(body.splitlines()[-1])["done"]')
    else:
        lines.remove("import json")
    return "\n".join(lines) + "\n"
