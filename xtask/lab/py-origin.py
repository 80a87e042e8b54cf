# A strict origin: Python `websockets`, echoing. It answers 505 to HTTP/1.0 and 426 to a request without Upgrade.
#
#   py-origin.py PORT [--bind ADDRESS] [--allow ORIGIN] [--subprotocol NAME] [--close-after S [--code N] | --fin-after S]
#                [--token TEXT] [--fail] [--max BYTES]
import argparse
import asyncio
import http
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
    words.add_argument("--code", type=int, default=1001, help="of that Close frame")
    words.add_argument("--token", help="answer 401 to a target without ?token=TEXT")
    words.add_argument("--max", type=int, default=1 << 20, help="bytes of a message, else Close 1009")
    words.add_argument("--fail", action="store_true", help="raise an exception on the first message")
    options = words.parse_args()

    async def leave(ws):
        await asyncio.sleep(options.close_after or options.fin_after)
        if options.close_after:
            await ws.close(options.code, "origin is idle")
        else:
            ws.transport.close()

    async def handle(ws):
        if options.close_after or options.fin_after:
            ws.leaving = asyncio.create_task(leave(ws))
        async for message in ws:
            if options.fail:
                raise RuntimeError("the handler fails")
            await ws.send(message)

    def let_in(ws, request):
        if options.token and not request.path.endswith(f"?token={options.token}"):
            return ws.respond(http.HTTPStatus.UNAUTHORIZED, "token missing\n")

    logging.basicConfig(level=logging.INFO)
    async with serve(handle, options.bind, options.port, ping_interval=None, origins=options.allow,
                     subprotocols=options.subprotocol, process_request=let_in,
                     max_size=options.max) as server:
        await server.serve_forever()


asyncio.run(main())
