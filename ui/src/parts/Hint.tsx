/** The server's hint as a sentence: what is in backticks is code. */

export function Hint({ text }: { text: string }) {
  const [first = "", ...rest] = text.split("`");
  return (
    <>
      {first.charAt(0).toUpperCase() + first.slice(1)}
      {rest.map((part, n) =>
        // biome-ignore lint/suspicious/noArrayIndexKey: a text does not change its parts
        n % 2 === 0 ? <code key={n}>{part}</code> : part,
      )}
    </>
  );
}
