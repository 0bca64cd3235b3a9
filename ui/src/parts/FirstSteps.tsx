/** For a library without a trace: the first request, to copy. */

import { CopyButton } from "./CopyButton";
import { Notice } from "./Notice";
import { useGateway } from "./Standing";

const QUESTION = "Why do rivers bend?";

export function FirstSteps() {
  const { status } = useGateway();
  const address = status?.address ?? location.origin;
  const model = status?.upstreams.flatMap((upstream) => upstream.models)[0] ?? "MODEL";
  const hasKeys = status?.has_keys ?? false;
  const curl = [
    `curl -N ${address}/v1/chat/completions \\`,
    ...(hasKeys ? ["  -H 'Authorization: Bearer KEY' \\"] : []),
    "  -H 'Content-Type: application/json' \\",
    `  -d '${JSON.stringify({ model, stream: true, messages: [{ role: "user", content: QUESTION }] })}'`,
  ].join("\n");
  const python = [
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${JSON.stringify(`${address}/v1`)}, api_key=${hasKeys ? '"KEY"' : '"none"'})`,
    "for chunk in client.chat.completions.create(",
    `    model=${JSON.stringify(model)},`,
    `    messages=[{"role": "user", "content": ${JSON.stringify(QUESTION)}}],`,
    "    stream=True,",
    "):",
    '    print(chunk.choices[0].delta.content or "", end="", flush=True)',
  ].join("\n");
  return (
    <Notice title="Nothing is recorded yet">
      <p>
        Send a request through the gateway, and it is here while it runs. This page needs no reload.
        {hasKeys && " Put one of your keys in the place of KEY."}
      </p>
      <Snippet text={curl} what="the curl command" />
      <p>Or from Python, with the openai package:</p>
      <Snippet text={python} what="the Python lines" />
    </Notice>
  );
}

function Snippet({ text, what }: { text: string; what: string }) {
  return (
    <div className="command">
      <pre className="mono">{text}</pre>
      <CopyButton text={text} what={what} />
    </div>
  );
}
