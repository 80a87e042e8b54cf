# A WebSocket tunnel with much in it, through $PROXY:8080/stream: a server and a client.
#
#   stream.py --serve PORT    sends whatever is asked for as `?FRAMES-LENGTH-PINGS-PAUSE`, then a Close frame; it pauses
#                             for so many milliseconds after the first frame
#   stream.py ASKED           asks for it, and counts what comes
import base64
import hashlib
import os
import re
import socket
import struct
import sys
import time

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def head(sock):
    got = b""
    while b"\r\n\r\n" not in got:
        got += sock.recv(65536) or sys.exit("cut")
    at = got.index(b"\r\n\r\n") + 4
    return got[:at], got[at:]


def header(opcode, length):
    if length < 126:
        return struct.pack("!BB", 0x80 | opcode, length)
    if length < 65536:
        return struct.pack("!BBH", 0x80 | opcode, 126, length)
    return struct.pack("!BBQ", 0x80 | opcode, 127, length)


def serve(port):
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        sock, _ = listener.accept()
        request, _ = head(sock)
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)[1]
        frames, length, pings, pause = map(int, re.search(rb"\?(\d+)-(\d+)-(\d+)-(\d+)", request).groups())
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        frame = header(2, length) + bytes(length)
        for at in range(frames):
            if pings and at % (frames // pings) == 0:
                sock.sendall(header(9, 4) + b"ping")
            sock.sendall(frame)
            if at == 0:
                time.sleep(pause / 1000)
        sock.sendall(header(8, 2) + struct.pack("!H", 1000))
        while sock.recv(65536):
            pass
        sock.close()


def ask(asked):
    sock = socket.create_connection(("127.0.0.1", 8080))
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(f"GET /stream?{asked} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
    _, rest = head(sock)
    count = len(rest)
    tail = rest
    while tail[-4:] != b"\x88\x02\x03\xe8":
        got = sock.recv(1 << 20)
        if not got:
            sys.exit(f"cut after {count}")
        count += len(got)
        tail = (tail + got)[-4:]
    sock.sendall(b"\x88\x82\0\0\0\0\x03\xe8")
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(65536):
        pass
    print(count)


if sys.argv[1] == "--serve":
    serve(int(sys.argv[2]))
else:
    ask(sys.argv[1])
