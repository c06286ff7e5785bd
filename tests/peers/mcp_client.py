#!/usr/bin/env python3
"""An MCP client on the official Python SDK (PyPI `mcp`), driven over standard input and output.

usage: mcp_client.py MODE COMMAND [ARG...]     MODE: legacy (initialize), auto, or a protocol version

Starts COMMAND as its server. Prints one line about the session, then reads one JSON object a line
and prints one JSON object a line: {"tool", "arguments"} -> {"isError", "structuredContent", "text"};
{"list": "tools"|"resources"|"templates"}, {"read": URI}, {"complete": {"uri", "name", "value"}}.
The SDK itself holds every answer against its tool's output schema; what it raises is printed as
{"raised"}.
"""
import asyncio
import json
import os
import sys

from mcp import StdioServerParameters
from mcp.client import Client
from mcp.types import ResourceTemplateReference

LISTS = {
    "tools": ("list_tools", "tools"),
    "resources": ("list_resources", "resources"),
    "templates": ("list_resource_templates", "resource_templates"),
}


def plain(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


async def listed(client, what):
    method, field = LISTS[what]
    items, cursor = [], None
    while True:
        page = await getattr(client, method)(cursor=cursor)
        items += [plain(item) for item in getattr(page, field)]
        cursor = page.next_cursor
        if not cursor:
            return {"items": items}


async def answer(client, ask):
    if "tool" in ask:
        result = await client.call_tool(ask["tool"], ask.get("arguments") or {})
        return {
            "isError": bool(result.is_error),
            "structuredContent": result.structured_content,
            "text": [block.text for block in result.content if block.type == "text"],
        }
    if "list" in ask:
        return await listed(client, ask["list"])
    if "read" in ask:
        return plain(await client.read_resource(ask["read"]))
    if "complete" in ask:
        of = ask["complete"]
        reference = ResourceTemplateReference(type="ref/resource", uri=of["uri"])
        argument = {"name": of["name"], "value": of["value"]}
        return plain(await client.complete(reference, argument))
    raise ValueError(f"nothing to do for {sorted(ask)}")


async def main(mode, command, *args):
    server = StdioServerParameters(command=command, args=list(args), env=dict(os.environ))
    async with Client(server, mode=mode, cache=None) as client:
        info = plain(client.server_info) if client.server_info else None
        emit({"protocol": client.protocol_version, "server": info,
              "instructions": client.instructions,
              "capabilities": plain(client.server_capabilities)})
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            try:
                emit(await answer(client, json.loads(line)))
            except Exception as e:  # what the SDK makes of it is the finding
                emit({"raised": f"{type(e).__name__}: {e}"})


def emit(value):
    print(json.dumps(value, allow_nan=False), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
