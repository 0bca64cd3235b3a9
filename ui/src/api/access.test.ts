import { describe, expect, it, vi } from "vitest";
import { access, tokenIn } from "./access";

const TOKEN = "0F_abcdefghijklmnopqrstuvwxyz-0123456789ABC";

describe("the token", () => {
  it.each([
    ["alone", TOKEN],
    ["in the printed link", `http://127.0.0.1:8080/?token=${TOKEN}`],
    ["with other parameters and spaces around", `  http://127.0.0.1:8080/traces/01K?t=2&token=${TOKEN}#x \n`],
  ])("is found %s", (_, pasted) => expect(tokenIn(pasted)).toBe(TOKEN));

  it.each(["", "http://127.0.0.1:8080/", "tailrace up prints it"])("is not found in %j", (pasted) =>
    expect(tokenIn(pasted)).toBeNull(),
  );
});

it("tells its watchers once when access is lost and once when it is back", () => {
  const watcher = vi.fn();
  const end = access.subscribe(watcher);
  access.say(true);
  access.say(true);
  access.say(false);
  expect(watcher).toHaveBeenCalledTimes(2);
  end();
});
