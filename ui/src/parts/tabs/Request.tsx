/** What was asked: the conversation and the parameters to be read, or the body as JSON. */

import { useMemo, useState } from "react";
import type { Bytes } from "../../api/types";
import { type Conversation, conversationOf } from "../../model/conversation";
import { bytes, count } from "../../model/format";
import { bytesOf } from "../../model/rawwire";
import { CopyButton } from "../CopyButton";
import { Folded } from "../Folded";
import { Json } from "../Json";
import { Switch } from "../Switch";
import { Turn, Value } from "../Turn";
import type { TabProps } from "./TabProps";
import "./Tab.css";
import "./Request.css";

const VIEWS = [
  ["messages", "Messages"],
  ["json", "JSON"],
] as const;
/** With more messages than this, those in the middle wait to be asked for. */
const SHOWN_TURNS = 40;

export function Request({ trace }: TabProps) {
  const { body } = trace.request;
  const conversation = useMemo(() => conversationOf(body), [body]);
  const [view, setView] = useState<(typeof VIEWS)[number][0]>("messages");
  if (body === null) {
    return (
      <div className="tab">
        <p className="tab-none">The request had no body.</p>
      </div>
    );
  }
  if (typeof body !== "object" || isBinary(body)) return <Plain body={body as Bytes} />;
  const shown = conversation === null ? "json" : view;
  return (
    <div className="tab">
      {conversation !== null && (
        <div className="tab-bar">
          <Switch label="The request as" options={VIEWS} value={view} onChange={setView} />
          <span className="grow" />
          {view === "messages" && (
            <CopyButton text={() => JSON.stringify(body, null, 2)} what="the body" label="Copy JSON" />
          )}
        </div>
      )}
      {shown === "json" ? (
        <Json value={body} label="The request's body" depth={2} />
      ) : (
        conversation !== null && <Readable conversation={conversation} />
      )}
    </div>
  );
}

function Readable({ conversation }: { conversation: Conversation }) {
  const { turns, parameters } = conversation;
  const [isAll, setAll] = useState(false);
  const left = isAll ? 0 : Math.max(0, turns.length - SHOWN_TURNS);
  const from = left > 0 ? SHOWN_TURNS / 2 : 0;
  return (
    <>
      <section className="request-turns" aria-label="Messages">
        {turns.map((turn, index) => {
          if (left > 0 && index === from) {
            return (
              <button key="left" type="button" className="folded-more" onClick={() => setAll(true)}>
                {count(left)} messages between
              </button>
            );
          }
          if (left > 0 && index > from && index < from + left) return null;
          // biome-ignore lint/suspicious/noArrayIndexKey: the messages of a request do not change
          return <Turn key={index} turn={turn} />;
        })}
      </section>
      {parameters.length > 0 && (
        <section>
          <h3>Parameters</h3>
          <table className="request-parameters">
            <tbody>
              {parameters.map(([name, value]) => (
                <tr key={name}>
                  <th scope="row">{name}</th>
                  <td>
                    {typeof value === "object" && value !== null ? (
                      <Json value={value} label={name} depth={0} isCompact />
                    ) : (
                      <Value value={String(value)} label={name} />
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </>
  );
}

function Plain({ body }: { body: Bytes }) {
  const isText = typeof body === "string";
  return (
    <div className="tab">
      <p className="tab-none">
        {isText ? "The body is no JSON." : `The body is no text: ${bytes(bytesOf(body).length)}.`}
      </p>
      {isText && (
        <pre className="turn-plain">
          <Folded text={body} limit={20_000} />
        </pre>
      )}
    </div>
  );
}

/** Bytes that are no text come as one field of base64. */
function isBinary(body: object): boolean {
  const names = Object.keys(body);
  return names.length === 1 && names[0] === "base64" && typeof (body as { base64: unknown }).base64 === "string";
}
