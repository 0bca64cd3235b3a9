/** What was said around the bodies, in the order it was said in. */

import { Fragment } from "react";
import type { Headers as Fields } from "../../api/types";
import { CopyButton } from "../CopyButton";
import type { TabProps } from "./TabProps";
import "./Tab.css";
import "./Headers.css";

/** What the recorder wrote in place of a credential. */
const REDACTED = "[redacted]";

export function Headers({ trace, isOpen }: TabProps) {
  const { method, path, http_status } = trace.trace;
  return (
    <div className="tab">
      <List title="Request" first={`${method} ${path}`} fields={trace.request.headers} />
      {trace.response.headers.length === 0 && http_status === null ? (
        <section>
          <h3>Response</h3>
          <p className="tab-none">{isOpen ? "No answer yet." : "No answer came."}</p>
        </section>
      ) : (
        <List title="Response" first={`Status ${http_status ?? "unknown"}`} fields={trace.response.headers} />
      )}
    </div>
  );
}

function List({ title, first, fields }: { title: string; first: string; fields: Fields }) {
  const text = () => fields.map(([name, value]) => `${name}: ${value}\n`).join("");
  return (
    <section className="headers">
      <div className="tab-bar">
        <h3>{title}</h3>
        <span className="grow" />
        <CopyButton text={text} what={`the ${title.toLowerCase()}'s headers`} label="Copy all" />
      </div>
      <p className="headers-first mono">
        <Value value={first} />
      </p>
      <dl>
        {fields.map(([name, value], index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: fields are never reordered, and a name may come twice
          <Fragment key={index}>
            <dt>{name}</dt>
            <dd>
              <Value value={value} />
            </dd>
          </Fragment>
        ))}
      </dl>
      {fields.length === 0 && <p className="tab-none">None.</p>}
    </section>
  );
}

/** A value, with what was taken out of it shown as such. */
function Value({ value }: { value: string }) {
  const [first, ...rest] = value.split(REDACTED);
  return (
    <>
      {first}
      {rest.map((text, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: pieces of one text
        <Fragment key={index}>
          <span className="headers-redacted" title="A credential. It was never written to the library.">
            redacted
          </span>
          {text}
        </Fragment>
      ))}
    </>
  );
}
