#!/usr/bin/env python3
"""OPC UA server on PyPI `asyncua` whose nodes come from a file.

usage: opcua_tree_server.py --port PORT PLAN.json

PLAN: a list of nodes {"id", "name", "parent"?, "value"?, "sequence"?}. `parent` is the id of an earlier
node (default: Objects). A node without value and sequence is an object. A value of
{"$float": "NaN"} is that number. A `sequence` gives its next item at each read of the value and stays
at the last; an item "$error" is BadSensorFailure.
"""
import argparse
import asyncio
import datetime
import json
from pathlib import Path

from asyncua import Server, ua

KINDS = {bool: ua.VariantType.Boolean, int: ua.VariantType.Int64, float: ua.VariantType.Double,
         str: ua.VariantType.String}


def plain(value):
    return float(value["$float"]) if isinstance(value, dict) else value


def data_value(value):
    now = datetime.datetime.now(datetime.timezone.utc)
    if value == "$error":
        status = ua.StatusCode(ua.StatusCodes.BadSensorFailure)
        return ua.DataValue(ua.Variant(), StatusCode=status, SourceTimestamp=now)
    value = plain(value)
    return ua.DataValue(ua.Variant(value, KINDS[type(value)]), SourceTimestamp=now)


def stepping(sequence):
    """Gives the next value at each call, the last for ever."""
    left = list(sequence)

    def step(_node_id, _attribute):
        return data_value(left.pop(0) if len(left) > 1 else left[0])
    return step


async def add(server, node, known):
    parent = known.get(node.get("parent"), server.nodes.objects)
    node_id = ua.NodeId.from_string(node["id"])
    name = ua.QualifiedName(node["name"], node_id.NamespaceIndex)
    if "value" not in node and "sequence" not in node:
        known[node["id"]] = await parent.add_object(node_id, name)
        return
    first = node["sequence"][0] if "sequence" in node else node["value"]
    first = 0.0 if first == "$error" else plain(first)
    variable = await parent.add_variable(node_id, name, first, KINDS[type(first)])
    known[node["id"]] = variable
    if "sequence" in node:
        server.iserver.aspace.set_attribute_value_callback(
            node_id, ua.AttributeIds.Value, stepping(node["sequence"]))


async def main(args):
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{args.port}/tree")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    await server.register_namespace("urn:tree")
    known = {}
    for node in json.loads(Path(args.plan).read_text()):
        await add(server, node, known)
    async with server:
        print("READY", args.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--port", type=int, required=True)
    ap.add_argument("plan")
    asyncio.run(main(ap.parse_args()))
