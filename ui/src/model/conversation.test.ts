import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { conversationOf, type Part, turnOf } from "./conversation";

const shape = (parts: Part[] | undefined) => parts?.map((part) => part.kind).join(" ");

describe("conversationOf", () => {
  it("reads a chat of OpenAI: roles, parts, calls and what a tool said", () => {
    const found = conversationOf({
      model: "m",
      temperature: 0,
      messages: [
        { role: "system", content: "be short" },
        {
          role: "user",
          name: "ann",
          content: [
            { type: "text", text: "look" },
            { type: "image_url", image_url: { url: "https://a/b.png" } },
          ],
        },
        {
          role: "assistant",
          content: null,
          tool_calls: [{ id: "c1", type: "function", function: { name: "get", arguments: '{"a":1}' } }],
        },
        { role: "tool", tool_call_id: "c1", content: "42" },
      ],
    });
    expect(found?.turns.map((turn) => `${turn.role}: ${shape(turn.parts)}`)).toEqual([
      "system: text",
      "user: text image",
      "assistant: call",
      "tool: result",
    ]);
    expect(found?.turns[1]?.name).toBe("ann");
    expect(found?.turns[2]?.parts[0]).toEqual({ kind: "call", name: "get", id: "c1", arguments: { a: 1 } });
    expect(found?.turns[3]?.parts[0]).toMatchObject({ kind: "result", name: "get", id: "c1" });
    expect(found?.parameters).toEqual([
      ["model", "m"],
      ["temperature", 0],
    ]);
    expect([found?.list, found?.offset]).toEqual(["messages", 0]);
  });

  it("reads Anthropic's system beside its messages, blocks and thinking", () => {
    const found = conversationOf({
      system: [{ type: "text", text: "be short" }],
      messages: [
        {
          role: "assistant",
          content: [
            { type: "thinking", thinking: "hm" },
            { type: "tool_use", id: "t", name: "get", input: { a: 1 } },
          ],
        },
        { role: "user", content: [{ type: "tool_result", tool_use_id: "t", content: [{ type: "text", text: "42" }] }] },
      ],
    });
    expect(found?.turns.map((turn) => shape(turn.parts))).toEqual(["text", "reasoning call", "result"]);
    expect([found?.list, found?.offset]).toEqual(["messages", 1]);
  });

  it("reads OpenAI's responses: a string, or items", () => {
    expect(conversationOf({ model: "m", input: "hello" })?.turns).toEqual([
      { role: "user", name: null, parts: [{ kind: "text", text: "hello" }] },
    ]);
    const items = conversationOf({
      instructions: "be short",
      input: [
        { role: "user", content: [{ type: "input_text", text: "hi" }] },
        { type: "function_call", call_id: "c", name: "get", arguments: "{}" },
        { type: "function_call_output", call_id: "c", output: "42" },
      ],
    });
    expect(items?.turns.map((turn) => `${turn.role}: ${shape(turn.parts)}`)).toEqual([
      "system: text",
      "user: text",
      "assistant: call",
      "tool: result",
    ]);
  });

  it("reads Gemini, Cohere and Ollama", () => {
    const gemini = conversationOf({
      systemInstruction: { parts: [{ text: "be short" }] },
      contents: [
        { role: "model", parts: [{ functionCall: { name: "get", args: {} } }] },
        { role: "user", parts: [{ inlineData: { mimeType: "image/png", data: "AAAA" } }] },
      ],
    });
    expect(gemini?.turns.map((turn) => shape(turn.parts))).toEqual(["text", "call", "image"]);
    const cohere = conversationOf({ message: "now", chat_history: [{ role: "USER", message: "before" }] });
    expect(cohere?.turns.map((turn) => turn.parts)).toEqual([
      [{ kind: "text", text: "before" }],
      [{ kind: "text", text: "now" }],
    ]);
    const ollama = conversationOf({ prompt: "what is this", images: ["AAAA"], options: {} });
    expect(shape(ollama?.turns[0]?.parts)).toBe("text image");
    expect(ollama?.parameters).toEqual([["options", {}]]);
  });

  it("never gives a picture an address outside of the request", () => {
    const source = (url: string) =>
      turnOf({ role: "user", content: [{ type: "image_url", image_url: { url } }] }).parts[0];
    expect(source("https://a/b.png")).toMatchObject({ source: null, note: "Image: https://a/b.png (not loaded)" });
    expect(source("data:image/svg+xml;base64,AAAA")).toMatchObject({ source: null });
    expect(source(`data:image/png;base64,${"A".repeat(300_000)}`)).toMatchObject({
      source: null,
      note: "Image: image/png, 225.0 kB",
    });
    expect(source("data:image/png;base64,AAAA")).toMatchObject({ source: "data:image/png;base64,AAAA" });
  });

  it("is none for what holds no message", () => {
    for (const body of [null, "text", [1], { model: "m" }, { base64: "AA==" }]) expect(conversationOf(body)).toBeNull();
  });

  it("fails on no message, however odd", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (item) => {
        expect(Array.isArray(turnOf(item).parts)).toBe(true);
        expect(conversationOf({ messages: [item], system: item, images: item })?.turns.length).toBeGreaterThan(0);
      }),
    );
  });
});
