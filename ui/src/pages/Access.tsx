/** What every page shows while the server does not let this browser in: how to get the link, and where to paste it. */

import { type FormEvent, useEffect, useState } from "react";
import { access, tokenIn } from "../api/access";
import { ApiError, request } from "../api/client";
import { CopyButton } from "../parts/CopyButton";
import { Notice } from "../parts/Notice";
import { useTitle } from "../parts/useTitle";
import "./Access.css";

const UP = "tailrace up";

export function Access() {
  const [pasted, setPasted] = useState("");
  const [trouble, setTrouble] = useState<string | null>(null);
  useTitle("Access");
  // Who opens the link in another tab, and comes back, is let in here too.
  useEffect(() => {
    const look = () => void (document.hidden || request("/api/status").catch(() => {}));
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, []);

  const enter = async (event: FormEvent) => {
    event.preventDefault();
    const token = tokenIn(pasted);
    if (token === null) return setTrouble("There is no token in this. It is the part of the link after token=.");
    try {
      // The answer has the cookie. The page stays where it is, so nobody loses the trace that the link was for.
      await request(`/?token=${encodeURIComponent(token)}`);
      await request("/api/status");
      access.say(false);
    } catch (error) {
      const isWrong = error instanceof ApiError && error.status === 401;
      setTrouble(isWrong ? "This token is not, or no longer, the one of this Tailrace." : String(error));
    }
  };

  return (
    <Notice title="This browser has no access yet">
      <p>
        What was recorded may be confidential, so Tailrace shows it only to whoever has its token. The link that
        Tailrace prints when it starts has it; open that link once, and this browser is let in from then on.
      </p>
      <p>The link is printed by</p>
      <div className="command">
        <code>{UP}</code>
        <CopyButton text={UP} what="the command" />
      </div>
      <form className="access-form" onSubmit={enter}>
        <label htmlFor="access-token">Or paste the link, or the token, here</label>
        <div>
          <input
            id="access-token"
            className="field mono"
            value={pasted}
            onChange={(event) => setPasted(event.target.value)}
            placeholder={`${location.origin}/?token=…`}
            autoComplete="off"
            spellCheck={false}
            aria-invalid={trouble !== null}
            aria-describedby={trouble === null ? undefined : "access-trouble"}
          />
          <button type="submit" className="button primary" disabled={pasted.trim() === ""}>
            Enter
          </button>
        </div>
        {trouble && (
          <p id="access-trouble" className="tone-error" role="alert">
            {trouble}
          </p>
        )}
      </form>
    </Notice>
  );
}
