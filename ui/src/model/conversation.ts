/**
 * A request's body as a conversation and a table of parameters, in whichever API's shape: OpenAI chat and responses,
 * Anthropic, Gemini, Cohere, Ollama.
 *
 * Rule: no content is left out. What is not known as a part of a message is shown as the JSON that it is, and what is no
 * message is a parameter. (The other fields of a message, such as its id, are in the view as JSON alone.)
 */

export type Part =
  | { kind: "text"; text: string }
  | { kind: "reasoning"; text: string }
  /** `source` is there for a small picture that is inside the request; nothing is ever loaded from elsewhere. */
  | { kind: "image"; note: string; source: string | null }
  | { kind: "file"; note: string }
  | { kind: "call"; name: string; id: string | null; arguments: unknown }
  /** What a tool said: named by the tool, by the call's id, or both once the call is known. */
  | { kind: "result"; name: string | null; id: string | null; parts: Part[] }
  | { kind: "json"; value: unknown };

export interface Turn {
  role: string;
  /** Who speaks in that role, where the request names them. */
  name: string | null;
  parts: Part[];
}

export interface Conversation {
  turns: Turn[];
  parameters: [name: string, value: unknown][];
  /** The name of the list that the messages are in, for those of `turns` that begin at `offset`. */
  list: string | null;
  offset: number;
}

type Fields = Record<string, unknown>;

/** Pictures above this are named and not shown. */
const SHOWN_IMAGE_CHARACTERS = 200_000;
const LISTS = ["messages", "contents", "input", "chat_history"];
const SYSTEM = ["system", "instructions", "systemInstruction", "system_instruction", "preamble"];
const PROMPTS = ["prompt", "message", "input"];

/** Null for a body in which no message is known. */
export function conversationOf(body: unknown): Conversation | null {
  if (!isFields(body)) return null;
  const turns: Turn[] = [];
  const used = new Set<string>();
  for (const name of SYSTEM) {
    if (!(name in body)) continue;
    const system = body[name];
    const parts = isFields(system) && Array.isArray(system.parts) ? system.parts : system;
    turns.push({ role: "system", name: null, parts: partsOf(parts) });
    used.add(name);
  }
  const offset = turns.length;
  const list = LISTS.find((name) => Array.isArray(body[name])) ?? null;
  if (list !== null) {
    for (const item of body[list] as unknown[]) turns.push(turnOf(item));
    used.add(list);
  }
  for (const name of PROMPTS) {
    if (typeof body[name] !== "string") continue;
    turns.push({ role: "user", name: null, parts: [{ kind: "text", text: body[name] }, ...images(body.images)] });
    used.add(name);
    if (isStrings(body.images)) used.add("images");
  }
  if (turns.length === 0) return null;
  nameResults(turns);
  return { turns, parameters: Object.entries(body).filter(([name]) => !used.has(name)), list, offset };
}

/** Most APIs name the call that a result belongs to by its id alone. */
function nameResults(turns: readonly Turn[]): void {
  const names = new Map<string, string>();
  for (const part of turns.flatMap((turn) => turn.parts)) {
    if (part.kind === "call" && part.id !== null) names.set(part.id, part.name);
    if (part.kind === "result" && part.id !== null) part.name ??= names.get(part.id) ?? null;
  }
}

export function turnOf(item: unknown): Turn {
  if (typeof item === "string") return { role: "user", name: null, parts: [{ kind: "text", text: item }] };
  if (!isFields(item)) return { role: "unknown", name: null, parts: [{ kind: "json", value: item }] };
  const type = item.type;
  if (typeof item.role !== "string" && typeof type === "string")
    return { role: roleOf(type), name: null, parts: [partOf(item)] };
  const role = typeof item.role === "string" ? item.role.toLowerCase() : "user";
  const content = "content" in item ? item.content : "parts" in item ? item.parts : item.message;
  const parts: Part[] = [...thoughts(item), ...partsOf(content), ...images(item.images), ...calls(item)];
  if (role === "tool" || role === "function") {
    const name = text(item.name) ?? text(item.tool_name);
    return { role: "tool", name: null, parts: [{ kind: "result", name, id: text(item.tool_call_id), parts }] };
  }
  return { role, name: text(item.name), parts };
}

/** Items that are no messages (of the responses API): who they come from. */
function roleOf(type: string): string {
  return type.endsWith("_output") ? "tool" : type.startsWith("input_") ? "user" : "assistant";
}

function partsOf(content: unknown): Part[] {
  if (content === null || content === undefined) return [];
  if (typeof content === "string") return [{ kind: "text", text: content }];
  if (Array.isArray(content)) return content.map(partOf);
  return [partOf(content)];
}

function partOf(part: unknown): Part {
  if (typeof part === "string") return { kind: "text", text: part };
  if (!isFields(part)) return { kind: "json", value: part };
  const type = typeof part.type === "string" ? part.type : "";
  if (type === "thinking" || type === "reasoning") {
    const thought = text(part.thinking) ?? text(part.text) ?? summary(part.summary);
    return thought === null ? { kind: "json", value: part } : { kind: "reasoning", text: thought };
  }
  if (typeof part.text === "string" && (type === "" || type.endsWith("text"))) {
    return { kind: part.thought === true ? "reasoning" : "text", text: part.text };
  }
  return call(part, type) ?? result(part, type) ?? media(part, type) ?? { kind: "json", value: part };
}

function call(part: Fields, type: string): Part | null {
  const name = (owner: Fields) => text(owner.name) ?? "";
  if (type === "tool_use" || type === "server_tool_use")
    return { kind: "call", name: name(part), id: text(part.id), arguments: part.input };
  if (type === "function_call")
    return { kind: "call", name: name(part), id: text(part.call_id), arguments: readable(part.arguments) };
  const gemini = part.functionCall ?? part.function_call;
  return isFields(gemini) ? { kind: "call", name: name(gemini), id: text(gemini.id), arguments: gemini.args } : null;
}

function result(part: Fields, type: string): Part | null {
  if (type === "tool_result")
    return { kind: "result", name: null, id: text(part.tool_use_id), parts: partsOf(part.content) };
  if (type === "function_call_output")
    return { kind: "result", name: null, id: text(part.call_id), parts: partsOf(part.output) };
  const gemini = part.functionResponse ?? part.function_response;
  if (!isFields(gemini)) return null;
  const parts: Part[] = [{ kind: "json", value: gemini.response }];
  return { kind: "result", name: text(gemini.name), id: text(gemini.id), parts };
}

function media(part: Fields, type: string): Part | null {
  if (type === "image_url" || type === "input_image") {
    const link = isFields(part.image_url) ? part.image_url.url : part.image_url;
    return typeof link === "string" ? image(link) : null;
  }
  const source = isFields(part.source) ? part.source : null;
  if (source !== null && (type === "image" || type === "document")) {
    const link = text(source.url) ?? `data:${text(source.media_type) ?? "?"};base64,${text(source.data) ?? ""}`;
    return type === "image" ? image(link) : { kind: "file", note: `Document: ${linkNote(link)}` };
  }
  const inline = part.inlineData ?? part.inline_data;
  if (isFields(inline)) {
    const media = text(inline.mimeType) ?? text(inline.mime_type) ?? "?";
    const link = `data:${media};base64,${text(inline.data) ?? ""}`;
    return media.startsWith("image/") ? image(link) : { kind: "file", note: linkNote(link) };
  }
  if (type === "input_audio" && isFields(part.input_audio)) {
    const size = base64Size(text(part.input_audio.data) ?? "");
    return { kind: "file", note: `Audio: ${text(part.input_audio.format) ?? ""}, ${size}` };
  }
  return null;
}

/** Ollama's pictures: base64 alone. */
function images(value: unknown): Part[] {
  if (!isStrings(value)) return [];
  return value.map((data) => ({ kind: "image", note: `Image: ${base64Size(data)}`, source: null }));
}

const SHOWN = /^data:image\/(png|jpeg|gif|webp|avif);base64,[A-Za-z0-9+/=\s]+$/;

function image(link: string): Part {
  const isShown = link.length <= SHOWN_IMAGE_CHARACTERS && SHOWN.test(link);
  return { kind: "image", note: `Image: ${linkNote(link)}`, source: isShown ? link : null };
}

function linkNote(link: string): string {
  const data = /^data:([^;,]*)(;base64)?,/.exec(link);
  if (data === null) return `${link} (not loaded)`;
  return `${data[1] || "data"}, ${base64Size(link.slice(data[0].length))}`;
}

function base64Size(data: string): string {
  const bytes = Math.floor((data.replace(/=+$/, "").length * 3) / 4);
  return bytes < 1000
    ? `${bytes} B`
    : bytes < 1e6
      ? `${(bytes / 1e3).toFixed(1)} kB`
      : `${(bytes / 1e6).toFixed(1)} MB`;
}

function thoughts(item: Fields): Part[] {
  const thought = text(item.reasoning_content) ?? text(item.reasoning) ?? text(item.thinking);
  return thought ? [{ kind: "reasoning", text: thought }] : [];
}

/** The calls beside a message's content. */
function calls(item: Fields): Part[] {
  const list = Array.isArray(item.tool_calls) ? item.tool_calls : isFields(item.function_call) ? [item] : [];
  return list.map((each: unknown): Part => {
    const owner = isFields(each) ? each : {};
    const called = isFields(owner.function)
      ? owner.function
      : isFields(owner.function_call)
        ? owner.function_call
        : owner;
    const name = text(called.name);
    if (name === null) return { kind: "json", value: each };
    return { kind: "call", name, id: text(owner.id), arguments: readable(called.arguments ?? called.parameters) };
  });
}

/** Arguments are JSON inside a string in most APIs; what is no JSON stays text. */
export function readable(value: unknown): unknown {
  if (typeof value !== "string") return value;
  try {
    const parsed: unknown = JSON.parse(value);
    return typeof parsed === "object" && parsed !== null ? parsed : value;
  } catch {
    return value;
  }
}

function summary(value: unknown): string | null {
  if (!Array.isArray(value)) return null;
  const texts = value.map((each) => (isFields(each) ? text(each.text) : null)).filter((each) => each !== null);
  return texts.length > 0 ? texts.join("\n") : null;
}

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isStrings = (value: unknown): value is string[] =>
  Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === "string");
const text = (value: unknown): string | null => (typeof value === "string" ? value : null);
