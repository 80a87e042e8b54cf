# A strict origin: Python `websockets`, echoing. It answers 505 to HTTP/1.0 and 426 to a request without Upgrade.
#
#   py-origin.py PORT [--bind ADDRESS] [--allow ORIGIN] [--subprotocol NAME] [--close-after S | --fin-after S]
import argparse
import asyncio
import logging

from websockets.asyncio.server import serve


async def main():
    words = argparse.ArgumentParser()
    words.add_argument("port", type=int)
    words.add_argument("--bind", default="0.0.0.0")
    words.add_argument("--allow", action="append", help="answer 403 to any other Origin")
    words.add_argument("--subprotocol", action="append")
    words.add_argument("--close-after", type=float, help="seconds until it sends a Close frame")
    words.add_argument("--fin-after", type=float, help="seconds until it ends the connection without one")
    options = words.parse_args()

    async def leave(ws):
        await asyncio.sleep(options.close_after or options.fin_after)
        if options.close_after:
            await ws.close(1001, "origin is idle")
        else:
            ws.transport.close()

    async def handle(ws):
        if options.close_after or options.fin_after:
            ws.leaving = asyncio.create_task(leave(ws))
        async for message in ws:
            await ws.send(message)

    logging.basicConfig(level=logging.INFO)
    async with serve(handle, options.bind, options.port, ping_interval=None, origins=options.allow,
                     subprotocols=options.subprotocol) as server:
        await server.serve_forever()


asyncio.run(main())
