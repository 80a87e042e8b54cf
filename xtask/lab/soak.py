# The clients of `cargo xtask soak`, with Python `websockets`: tunnels, conversations, and clients that fail and come again.
#
#   soak.py --seconds S --tunnels N     half of the tunnels with heartbeats; the connections go to $PROXY
import argparse
import asyncio
import os
import time

import websockets
from websockets.asyncio.client import connect

FAILING = ["/bare", "/refused", "/silent", "/denied"]
# Of each failing location.
CLIENTS = 3
TALKERS = 4
# A conversation, and pauses.
TALK, PAUSE, HEARTBEAT = 3, 2, 2


def upgrade(path):
    return connect(f"ws://chat.test{path}", host=os.environ["PROXY"], proxy=None, ping_interval=None, open_timeout=20)


async def again(end, once, pause):
    """Does it until the end; whoever fails comes again."""
    while time.monotonic() < end:
        try:
            await once()
        except (websockets.WebSocketException, OSError, TimeoutError):
            pass
        await asyncio.sleep(max(0, min(pause, end - time.monotonic())))


async def tunnel(end, heartbeat):
    async with upgrade("/tunnel") as ws:
        while time.monotonic() < end:
            left = end - time.monotonic()
            try:
                await asyncio.wait_for(ws.wait_closed(), min(left, HEARTBEAT) if heartbeat else left)
                return
            except TimeoutError:
                if heartbeat:
                    await ws.ping()


async def talk():
    async with upgrade("/talk") as ws:
        for _ in range(TALK):
            await ws.send("hello")
            await ws.recv()
            await asyncio.sleep(1)


async def fail(path):
    async with upgrade(path):
        raise SystemExit(f"{path} was upgraded")


async def main():
    words = argparse.ArgumentParser()
    words.add_argument("--seconds", type=float, required=True)
    words.add_argument("--tunnels", type=int, required=True)
    options = words.parse_args()
    end = time.monotonic() + options.seconds
    crowd = []
    for number in range(options.tunnels):
        crowd.append(again(end, lambda beats=number % 2: tunnel(end, beats), 0.1))
    crowd += [again(end, talk, PAUSE) for _ in range(TALKERS)]
    crowd += [again(end, lambda path=path: fail(path), PAUSE) for path in FAILING for _ in range(CLIENTS)]

    async def late(number, one):
        await asyncio.sleep(number * 0.01)
        await one

    await asyncio.gather(*(late(number, one) for number, one in enumerate(crowd)))


asyncio.run(main())
