/** `/compare?a=&b=&align=content`: two traces side by side, or the choice of the second. */

import { useEffect, useState } from "react";
import { useNavigate, useSearchParams } from "react-router";
import { ApiError, api, asApiError } from "../api/client";
import type { Row } from "../api/types";
import { shortId } from "../model/format";
import { Comparison } from "../parts/compare/Comparison";
import { Picker } from "../parts/compare/Picker";
import { useTitle } from "../parts/useTitle";

export default function ComparePage() {
  const [search] = useSearchParams();
  const navigate = useNavigate();
  const a = search.get("a") ?? "";
  const b = search.get("b") ?? "";
  const isAtContent = search.get("align") === "content";
  useTitle("Compare");

  if (a === "" || b === "") return <Choice known={a || b} side={a === "" ? "a" : "b"} />;
  const goTo = (one: string, other: string, isAtContent: boolean) =>
    navigate(pathOf(one, other, isAtContent), { replace: true });
  return (
    <Comparison
      a={a}
      b={b}
      isAtContent={isAtContent}
      onSwap={() => goTo(b, a, isAtContent)}
      onAlign={() => goTo(a, b, !isAtContent)}
    >
      {({ side, title, note, known }) => (
        <Picker
          title={title}
          note={note}
          known={known}
          linkTo={(id) => (side === "b" ? pathOf(a, id, isAtContent) : pathOf(id, b, isAtContent))}
        />
      )}
    </Comparison>
  );
}

function pathOf(a: string, b: string, isAtContent: boolean): string {
  const names = new URLSearchParams({ a, b, ...(isAtContent ? { align: "content" } : {}) });
  return `/compare?${names}`;
}

/** The choice of the other one, once it is known what the first one is. */
function Choice({ known, side }: { known: string; side: "a" | "b" }) {
  const [trace, setTrace] = useState<Row | ApiError | null>(null);
  useEffect(() => {
    if (known === "") return;
    const stop = new AbortController();
    api.trace(known, stop.signal).then(
      (found) => setTrace(found.trace),
      (failure: unknown) => {
        if (!stop.signal.aborted) setTrace(asApiError(failure));
      },
    );
    return () => stop.abort();
  }, [known]);
  const isKnown = known !== "" && trace !== null && !(trace instanceof ApiError);
  if (known !== "" && trace === null) return null;
  return (
    <div className="compare-page">
      {trace instanceof ApiError ? (
        <Picker
          title={`There is no trace ${known}`}
          note={`${trace.message}. Choose the first of two traces to compare.`}
          known={null}
          linkTo={(id) => `/compare?a=${encodeURIComponent(id)}`}
        />
      ) : (
        <Picker
          title={isKnown ? `Compare ${shortId(trace.id)} with…` : "Choose the first of two traces to compare"}
          note={isKnown ? trace.prompt : null}
          known={isKnown ? trace : null}
          linkTo={(id) => {
            if (!isKnown) return `/compare?a=${encodeURIComponent(id)}`;
            return side === "b" ? pathOf(trace.id, id, false) : pathOf(id, trace.id, false);
          }}
        />
      )}
    </div>
  );
}
