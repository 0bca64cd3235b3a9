/** One message of a conversation, as it was sent: text is not rendered, and nothing is loaded from elsewhere. */

import type { Turn as Message, Part } from "../model/conversation";
import { Folded } from "./Folded";
import { Json } from "./Json";
import "./Turn.css";

const ROLES: Record<string, string> = {
  system: "System",
  developer: "Developer",
  user: "User",
  assistant: "Assistant",
  model: "Model",
  tool: "Tool",
};

/** What a role is called. */
export function roleName(role: string): string {
  return ROLES[role] ?? role;
}

export function Turn({ turn, children }: { turn: Message; children?: React.ReactNode }) {
  const known = turn.role in ROLES ? turn.role : "other";
  return (
    <article className={`turn is-${known}`}>
      <header className="turn-role">
        {roleName(turn.role)}
        {turn.name !== null && <span className="turn-name">{turn.name}</span>}
        {children}
      </header>
      {turn.parts.length === 0 && <p className="turn-none">No content</p>}
      {turn.parts.map((part, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the parts of a message that was sent do not change
        <PartOf key={index} part={part} />
      ))}
    </article>
  );
}

export function PartOf({ part }: { part: Part }) {
  switch (part.kind) {
    case "text":
      return (
        <div className="turn-text">
          <Folded text={part.text} />
        </div>
      );
    case "reasoning":
      return (
        <div className="turn-text is-reasoning">
          <span className="turn-label">Reasoning</span>
          <Folded text={part.text} />
        </div>
      );
    case "image":
      return (
        <figure className="turn-media">
          {part.source !== null && <img src={part.source} alt="Part of the request" />}
          <figcaption>
            <Folded text={part.note} limit={300} />
          </figcaption>
        </figure>
      );
    case "file":
      return (
        <p className="turn-media">
          <Folded text={part.note} limit={300} />
        </p>
      );
    case "call":
      return (
        <div className="turn-call">
          <p>
            <span className="turn-label">Calls</span> <code>{part.name}</code>
            {part.id !== null && <code className="turn-id">{part.id}</code>}
          </p>
          <Value value={part.arguments} label={`Arguments of ${part.name}`} />
        </div>
      );
    case "result":
      return (
        <div className="turn-call">
          <p>
            <span className="turn-label">Result of</span> <code>{part.name ?? part.id ?? "a call"}</code>
            {part.name !== null && part.id !== null && <code className="turn-id">{part.id}</code>}
          </p>
          {part.parts.map((inside, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: as above
            <PartOf key={index} part={inside} />
          ))}
        </div>
      );
    case "json":
      return <Value value={part.value} label="A part of the message" />;
  }
}

/** JSON as a tree; what is none, as the text that it is. */
export function Value({ value, label }: { value: unknown; label: string }) {
  if (value === null || value === undefined) return null;
  if (typeof value !== "object") {
    return (
      <pre className="turn-plain">
        <Folded text={String(value)} />
      </pre>
    );
  }
  return <Json value={value} label={label} depth={2} isCompact />;
}
