/* Parses AsyncAPI documents by their official parser. Prints what it has to say of each, and what each describes, as JSON. */

import { Parser, fromFile } from "@asyncapi/parser";

const parser = new Parser();

async function check(path) {
  const { document, diagnostics } = await fromFile(parser, path).parse();
  const said = diagnostics.map(({ severity, message, path }) => ({ severity, message, path: path.join(".") }));
  return { said, channels: (document?.channels().all() ?? []).map(described) };
}

function described(channel) {
  const messages = channel.messages().all().map((message) => message.json());
  return {
    address: channel.address(),
    binding: channel.bindings().get("kafka").value(),
    messages: messages.map(({ name, headers, payload }) => ({ name, headers, payload })),
  };
}

const checked = [];
for (const path of process.argv.slice(2)) checked.push(await check(path));
console.log(JSON.stringify(checked));
