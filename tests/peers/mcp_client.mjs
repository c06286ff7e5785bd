// An MCP client on the official TypeScript SDK (npm `@modelcontextprotocol/sdk`), driven over
// standard input and output.
// usage: node mcp_client.mjs COMMAND [ARG...]
//
// The same lines in and out as mcp_client.py.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

// The packages stand beside the build and not beside this file: NODE_PATH says where.
const require = createRequire(import.meta.url);
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");

const LISTS = {
  tools: ["listTools", "tools"],
  resources: ["listResources", "resources"],
  templates: ["listResourceTemplates", "resourceTemplates"],
};

async function listed(client, what) {
  const [method, field] = LISTS[what];
  const items = [];
  let cursor;
  do {
    const page = await client[method](cursor ? { cursor } : {});
    items.push(...page[field]);
    cursor = page.nextCursor;
  } while (cursor);
  return { items };
}

async function answer(client, ask) {
  if (ask.tool !== undefined) {
    const result = await client.callTool({ name: ask.tool, arguments: ask.arguments ?? {} });
    return {
      isError: Boolean(result.isError),
      structuredContent: result.structuredContent,
      text: result.content.filter((block) => block.type === "text").map((block) => block.text),
    };
  }
  if (ask.list !== undefined) return listed(client, ask.list);
  if (ask.read !== undefined) return client.readResource({ uri: ask.read });
  if (ask.complete !== undefined) {
    const { uri, name, value } = ask.complete;
    return client.complete({ ref: { type: "ref/resource", uri }, argument: { name, value } });
  }
  throw new Error(`nothing to do for ${Object.keys(ask)}`);
}

const emit = (value) => process.stdout.write(JSON.stringify(value) + "\n");

const [command, ...args] = process.argv.slice(2);
const transport = new StdioClientTransport({ command, args, env: process.env, stderr: "inherit" });
const client = new Client({ name: "sdk-client", version: "1" });
await client.connect(transport);
// The SDK checks structuredContent against the output schemas of the last list.
await client.listTools();
emit({
  protocol: transport.protocolVersion ?? null,
  server: client.getServerVersion(),
  instructions: client.getInstructions(),
  capabilities: client.getServerCapabilities(),
});
for await (const line of createInterface({ input: process.stdin })) {
  try {
    emit(await answer(client, JSON.parse(line)));
  } catch (e) {
    emit({ raised: `${e.name}: ${e.message}` });
  }
}
await client.close();
