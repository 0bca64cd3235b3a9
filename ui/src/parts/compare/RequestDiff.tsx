/** What was asked differently: the messages of both, aligned, and the parameters by their path. */

import { useMemo, useState } from "react";
import type { Change } from "../../api/diff";
import { type Conversation, conversationOf, turnOf } from "../../model/conversation";
import { type AlignedItem, alignedItems, grouped } from "../../model/diff";
import { count } from "../../model/format";
import { roleName, Turn } from "../Turn";
import { ValueChange } from "./ValueChange";
import "./RequestDiff.css";

export function RequestDiff({ changes, a, b }: { changes: readonly Change[]; a: unknown; b: unknown }) {
  const lists = useMemo(() => sharedList(a, b), [a, b]);
  if (changes.length === 0) return <p className="compare-same">The same request.</p>;
  const path = lists && `/${lists.name}`;
  const isInside = (change: Change) =>
    path !== null && ((change.path_a ?? change.path_b)?.startsWith(`${path}/`) ?? false);
  const others = changes.filter((change) => !isInside(change));
  return (
    <div className="request-diff">
      {others.length > 0 && (
        <div className="request-diff-values">
          {others.map((change) => (
            <ValueChange key={nameOf(change)} change={change} name={nameOf(change)} />
          ))}
        </div>
      )}
      {lists !== null && path !== null && changes.some(isInside) && (
        <Messages lists={lists} changes={changes.filter(isInside)} path={path} />
      )}
    </div>
  );
}

interface Lists {
  name: string;
  a: readonly unknown[];
  b: readonly unknown[];
}

/** The list of messages, where both requests have theirs in the same place. */
function sharedList(a: unknown, b: unknown): Lists | null {
  const listOf = (body: unknown): [string, unknown[]] | null => {
    const found: Conversation | null = conversationOf(body);
    return found?.list ? [found.list, (body as Record<string, unknown[]>)[found.list] ?? []] : null;
  };
  const [one, other] = [listOf(a), listOf(b)];
  return one !== null && other !== null && one[0] === other[0] ? { name: one[0], a: one[1], b: other[1] } : null;
}

function Messages({ lists, changes, path }: { lists: Lists; changes: Change[]; path: string }) {
  const groups = useMemo(
    () => grouped(alignedItems(lists.a.length, lists.b.length, changes, path)),
    [lists, changes, path],
  );
  return (
    <div className="request-diff-messages">
      {groups.map((group, index) =>
        group.kind === "same" ? (
          // biome-ignore lint/suspicious/noArrayIndexKey: the groups of a comparison do not change
          <Same key={index} items={group.items} list={lists.a} />
        ) : (
          // biome-ignore lint/suspicious/noArrayIndexKey: as above
          <Message key={index} item={group.item} lists={lists} path={path} />
        ),
      )}
    </div>
  );
}

function Same({ items, list }: { items: AlignedItem[]; list: readonly unknown[] }) {
  const [isOpen, setOpen] = useState(false);
  if (isOpen) return items.map((item) => <Turn key={item.a} turn={turnOf(list[item.a ?? 0])} />);
  return (
    <button type="button" className="text-diff-fold" onClick={() => setOpen(true)}>
      {count(items.length)} {items.length === 1 ? "message" : "messages"} the same
    </button>
  );
}

function Message({ item, lists, path }: { item: AlignedItem; lists: Lists; path: string }) {
  if (item.b === null || item.a === null) {
    const isAdded = item.a === null;
    const message = isAdded ? lists.b[item.b ?? 0] : lists.a[item.a ?? 0];
    return (
      <div
        className={isAdded ? "request-diff-message is-added" : "request-diff-message is-removed"}
        data-change={`m${isAdded ? "+" : "-"}${isAdded ? item.b : item.a}`}
      >
        <Turn turn={turnOf(message)}>
          <small>{isAdded ? "+ only in B" : "− only in A"}</small>
        </Turn>
      </div>
    );
  }
  const turn = turnOf(lists.a[item.a]);
  return (
    <div className="request-diff-message">
      <p className="turn-role">
        {roleName(turn.role)}
        <small>
          {item.a === item.b ? `message ${item.a + 1}` : `message ${item.a + 1} of A, ${item.b + 1} of B`} differs
        </small>
      </p>
      {item.changes.map((change) => (
        <ValueChange
          key={nameOf(change)}
          change={change}
          name={nameOf(change)}
          within={change.path_a === null ? `${path}/${item.b}` : `${path}/${item.a}`}
        />
      ))}
    </div>
  );
}

/** Both paths: a value that went and another that came may have the same one. */
function nameOf(change: Change): string {
  return JSON.stringify([change.path_a, change.path_b]);
}
