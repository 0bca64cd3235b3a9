// @vitest-environment node
import type { ServerResponse } from "node:http";
import { expect, it, vi } from "vitest";
import { answerJson, event, openStream, serve } from "../fixtures/server";
import { ApiError } from "./client";
import { follow } from "./live";

/** Follows `/live` until `isOver` holds for what was heard. */
function heard(isOver: (events: [string, unknown][], states: unknown[]) => boolean, ends: string | null = null) {
  return new Promise<{ events: [string, unknown][]; states: unknown[] }>((resolve) => {
    const events: [string, unknown][] = [];
    const states: unknown[] = [];
    const check = () => {
      if (!isOver(events, states)) return;
      stop();
      resolve({ events, states });
    };
    const stop = follow(
      "/live",
      {
        onEvent: (name, data) => {
          events.push([name, data]);
          check();
        },
        onState: (state) => {
          states.push(state);
          check();
        },
      },
      ends,
    );
  });
}

it("resumes after a cut with the last id it heard, and gives every event once", async () => {
  const asked: (string | undefined)[] = [];
  await serve((request, response) => {
    asked.push(request.headers["last-event-id"] as string | undefined);
    openStream(response);
    if (asked.length > 1) return void response.write(event("n", 3, "3"));
    response.write("retry: 5\n\n");
    response.write(event("n", 1, "1") + event("n", 2, "2"));
    // Half an event, and then the connection breaks: it must not be given, and must come whole the next time.
    response.write("event: n\nid: 3\ndata: 99", () => response.socket?.destroy());
  });
  const { events, states } = await heard((all) => all.length === 3);
  expect(events.map(([, data]) => data)).toEqual([1, 2, 3]);
  expect(asked).toEqual([undefined, "2"]);
  expect(states).toEqual(["connected", "waiting", "connected"]);
});

it("comes back after a proper end and after errors of the server", async () => {
  let round = 0;
  await serve((_, response) => {
    round += 1;
    if (round === 2) return answerJson(response, { error: { message: "no", hint: null, code: "busy" } }, 503);
    openStream(response);
    response.write(`retry: 5\n\n${event("round", round, String(round))}`);
    if (round === 1) response.end();
  });
  const { events } = await heard((all) => all.length === 2);
  expect(events.map(([, data]) => data)).toEqual([1, 3]);
});

it("ends with the error that asking again would not mend", async () => {
  let count = 0;
  await serve((_, response) => {
    count += 1;
    answerJson(response, { error: { message: "no such trace", hint: "list them", code: "not_found" } }, 404);
  });
  const { states } = await heard((_, all) => all.length > 0);
  expect(states[0]).toBeInstanceOf(ApiError);
  expect(states[0]).toMatchObject({ status: 404, code: "not_found", hint: "list them" });
  expect(count).toBe(1);
});

it("ends by itself with the event after which the stream is whole", async () => {
  let connections = 0;
  const closed = new Promise<void>((resolve) => {
    void serve((request, response) => {
      connections += 1;
      request.on("close", resolve);
      openStream(response);
      response.write(event("end", {}, "1") + event("late", {}, "2"));
    });
  });
  const { events } = await heard((all) => all.length === 1, "end");
  await closed;
  expect(events).toEqual([["end", {}]]);
  expect(connections).toBe(1);
});

it("is not led astray by comments, by an event that is no JSON, or by a listener that throws", async () => {
  const complaints = vi.spyOn(console, "error").mockImplementation(() => {});
  await serve((_, response) => {
    openStream(response);
    response.write(`: heartbeat\n\nevent: n\nid: 1\ndata: {broken\n\n${event("n", 2, "2")}`);
  });
  const { events, states } = await heard((all) => all.length === 1);
  expect(events).toEqual([["n", 2]]);
  expect(states).toEqual(["connected"]);
  expect(complaints).toHaveBeenCalledOnce();
  complaints.mockRestore();
});

it("takes an answer that is no event stream for a failure, and tries again", async () => {
  let round = 0;
  await serve((_, response) => {
    round += 1;
    if (round === 1) {
      response.writeHead(200, { "content-type": "text/html" });
      return void response.end("<p>event: n\ndata: 1\n\n</p>");
    }
    openStream(response);
    response.write(event("n", "real"));
  });
  const { events } = await heard((all) => all.length === 1);
  expect(events).toEqual([["n", "real"]]);
});

it("closes its connection when it is stopped, and hears nothing more", async () => {
  let stream: ServerResponse | undefined;
  const events: unknown[] = [];
  const closed = new Promise<void>((resolve) => {
    void serve((request, response) => {
      stream = response;
      request.on("close", resolve);
      openStream(response);
      response.write(event("n", 1));
    });
  });
  await new Promise<void>((resolve) => {
    const stop = follow("/live", {
      onEvent: (_, data) => {
        events.push(data);
        stream?.write(event("n", 2));
        stop();
        resolve();
      },
    });
  });
  await closed;
  expect(events).toEqual([1]);
});

it("tries again at once when the machine is back on the network", async () => {
  let round = 0;
  await serve((_, response) => {
    round += 1;
    if (round === 1) return void response.destroy();
    openStream(response);
    response.write(event("n", round));
  });
  const online = new EventTarget();
  vi.stubGlobal("addEventListener", online.addEventListener.bind(online));
  vi.stubGlobal("removeEventListener", online.removeEventListener.bind(online));
  const { events } = await heard((all, states) => {
    if (states.at(-1) === "waiting") queueMicrotask(() => online.dispatchEvent(new Event("online")));
    return all.length === 1;
  });
  expect(events).toEqual([["n", 2]]);
});
