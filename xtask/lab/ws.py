# A real WebSocket client: Python `websockets`.
#
#   ws.py URL [options] step...     URL names the host; the connection goes to $PROXY (or --to ADDRESS)
#
# Steps: say:TEXT (and read the echo)  tell:TEXT (binary, no echo)  blob:BYTES (the same, binary)  recv  ping  sleep:SECONDS  beat:SECONDS:EVERY (pings)  wait (for the end)
#        close (Close frame, as RFC 6455 wants)  fin (end the TCP connection without a Close frame)
import argparse
import asyncio
import os
import ssl
import sys

os.environ["WEBSOCKETS_MAX_REDIRECTS"] = "1"
import websockets
from websockets.asyncio.client import connect


async def step(ws, name, argument):
    if name == "say":
        await ws.send(argument)
        await ws.recv()
    elif name == "tell":
        await ws.send(argument.encode())
    elif name == "blob":
        await ws.send(os.urandom(int(argument)))
        await ws.recv()
    elif name == "recv":
        await ws.recv()
    elif name == "ping":
        await (await ws.ping())
    elif name == "sleep":
        await asyncio.sleep(float(argument))
    elif name == "beat":
        total, every = map(float, argument.split(":"))
        for _ in range(int(total / every)):
            await asyncio.sleep(every)
            await (await ws.ping())
    elif name == "wait":
        await ws.wait_closed()
        print("closed", ws.close_code)
    elif name == "close":
        await ws.close()
        print("closed", ws.close_code)
    elif name == "fin":
        ws.transport.close()
        await ws.wait_closed()
        print("closed", ws.close_code)
    else:
        raise SystemExit(f"no such step: {name}")


async def client(options, number):
    await asyncio.sleep(number * options.gap)
    words = {"proxy": None, "ping_interval": None, "compression": None if options.plain else "deflate"}
    words["host"] = options.to or os.environ["PROXY"]
    if options.port:
        words["port"] = options.port
    if options.url.startswith("wss:"):
        words["ssl"] = ssl._create_unverified_context()
    if options.bind:
        words["local_addr"] = (options.bind, 0)
    if options.origin:
        words["origin"] = options.origin
    if options.subprotocol:
        words["subprotocols"] = options.subprotocol
    if options.agent:
        words["user_agent_header"] = options.agent
    words["additional_headers"] = [tuple(line.split(": ", 1)) for line in options.header]
    words["open_timeout"] = options.patience
    try:
        async with connect(options.url, **words) as ws:
            print("upgraded", ws.subprotocol or "")
            for name, _, argument in (text.partition(":") for text in options.steps):
                await step(ws, name, argument)
    except websockets.ConnectionClosed as error:
        print("closed", error)
    except Exception as error:
        print(type(error).__name__, error)


async def main():
    words = argparse.ArgumentParser()
    words.add_argument("url")
    words.add_argument("--to")
    words.add_argument("--port", type=int)
    words.add_argument("--bind")
    words.add_argument("--origin")
    words.add_argument("--subprotocol", action="append")
    words.add_argument("--agent")
    words.add_argument("--header", "-H", action="append", default=[])
    words.add_argument("--plain", action="store_true", help="offer no compression")
    words.add_argument("--clients", type=int, default=1)
    words.add_argument("--gap", type=float, default=0, help="seconds between the starts of clients")
    words.add_argument("--patience", type=float, default=30)
    words.add_argument("steps", nargs="*")
    options = words.parse_intermixed_args(sys.argv[1:])
    await asyncio.gather(*(client(options, number) for number in range(options.clients)))


asyncio.run(main())
