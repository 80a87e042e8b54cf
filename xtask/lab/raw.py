# Bytes on a plain socket, client or server, step by step: for what no library would send.
#
#   raw.py PORT [options] step...            connect to $PROXY:PORT
#   raw.py --listen PORT [options] step...   do the steps with every connection
#   --clients N does it N times at once; {n} in a step is the number of the client
#   --times N does it N times one after another, with --from PORT from the same port
#
# Steps, done in order:
#   send:TEXT      TEXT with \r\n and the like          drip:TEXT   the same, one byte a segment
#   upgrade:PATH   a WebSocket upgrade request          dripup:PATH the same, one byte a segment
#   get:PATH       an ordinary request                  head        read a head, print its first line
#   response       read a response with its body        until:TEXT  read as far as TEXT
#   accept[:MORE]  101 for the key that came            badaccept   101 for another key
#   text:TEXT      a WebSocket text frame               ping        a ping frame
#   close          a Close frame, code 1000             frame       read a frame
#   sleep:SECONDS  fin (shut down writing)  eof (read to the end)  rst (close with RST)
import argparse
import base64
import hashlib
import os
import socket
import struct
import sys
import threading
import time

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Peer:
    """One end of a connection, and what was read from it but not used yet."""

    def __init__(self, sock, options):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock, self.options = sock, options
        self.buffer = b""
        self.head = b""
        self.is_client = options.listen is None

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError("connection ended")
        self.buffer += data

    def take(self, count):
        while len(self.buffer) < count:
            self.more()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def take_until(self, mark):
        while mark not in self.buffer:
            self.more()
        return self.take(self.buffer.index(mark) + len(mark))

    def send(self, data, drip=False):
        if not (drip or self.options.drip):
            self.sock.sendall(data)
            return
        for byte in data:
            self.sock.sendall(bytes([byte]))
            time.sleep(0.001)

    def frame(self, opcode, payload):
        mask = os.urandom(4) if self.is_client else b""
        masked = bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if mask else payload
        self.send(bytes([0x80 | opcode, (0x80 if mask else 0) | len(payload)]) + mask + masked)


def field(head, name):
    for line in head.decode("latin-1").split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.strip().lower() == name:
            return value.strip()
    return None


def do_upgrade(peer, path, drip=False):
    options = peer.options
    key = options.key or base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET {path} HTTP/1.1", f"Host: {options.host}", "Upgrade: websocket", "Connection: Upgrade",
             f"Sec-WebSocket-Key: {key}", f"Sec-WebSocket-Version: {options.version}", *options.header]
    peer.send(("\r\n".join(lines) + "\r\n\r\n").encode(), drip)


def do_get(peer, path):
    peer.send("\r\n".join([f"GET {path} HTTP/1.1", f"Host: {peer.options.host}", *peer.options.header, "", ""]).encode())


def do_head(peer):
    peer.head = peer.take_until(b"\r\n\r\n")
    print(peer.head.split(b"\r\n")[0].decode("latin-1"))


def do_response(peer):
    do_head(peer)
    if (length := field(peer.head, "content-length")) and b" 304 " not in peer.head[:16]:
        peer.take(int(length))
    elif (field(peer.head, "transfer-encoding") or "") == "chunked":
        peer.take_until(b"\r\n0\r\n\r\n")


def do_accept(peer, more, key=None):
    key = key or field(peer.head, "sec-websocket-key") or ""
    accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
             f"Sec-WebSocket-Accept: {accept}", *filter(None, more.split("|")), "", ""]
    peer.send("\r\n".join(lines).encode())


def do_frame(peer):
    first, second = peer.take(2)
    length = second & 0x7F
    if length == 126:
        length = struct.unpack("!H", peer.take(2))[0]
    peer.take(4 if second & 0x80 else 0)
    print("frame", first & 0xF, len(peer.take(length)))


def do_eof(peer):
    try:
        while True:
            peer.more()
    except (EOFError, ConnectionError) as error:
        print(error)


def do_rst(peer):
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.sock.close()


STEPS = {
    "send": lambda peer, text: peer.send(text.encode().decode("unicode_escape").encode("latin-1")),
    "drip": lambda peer, text: peer.send(text.encode().decode("unicode_escape").encode("latin-1"), True),
    "upgrade": do_upgrade,
    "dripup": lambda peer, path: do_upgrade(peer, path, True),
    "get": do_get,
    "head": lambda peer, _: do_head(peer),
    "response": lambda peer, _: do_response(peer),
    "until": lambda peer, text: peer.take_until(text.encode().decode("unicode_escape").encode("latin-1")),
    "accept": do_accept,
    "badaccept": lambda peer, more: do_accept(peer, more, "AAAAAAAAAAAAAAAAAAAAAA=="),
    "text": lambda peer, text: peer.frame(1, text.encode()),
    "ping": lambda peer, _: peer.frame(9, b""),
    "close": lambda peer, _: peer.frame(8, b"\x03\xe8"),
    "frame": lambda peer, _: do_frame(peer),
    "sleep": lambda peer, seconds: time.sleep(float(seconds)),
    "fin": lambda peer, _: peer.sock.shutdown(socket.SHUT_WR),
    "eof": lambda peer, _: do_eof(peer),
    "rst": lambda peer, _: do_rst(peer),
}


def play(sock, options, number=0):
    peer = Peer(sock, options)
    try:
        for step in options.steps:
            name, _, argument = step.replace("{n}", str(number)).partition(":")
            STEPS[name](peer, argument)
    except (EOFError, OSError) as error:
        print(error)
    finally:
        sock.close()


def connect(options, number):
    address = os.environ["PROXY"] if options.to is None else options.to
    source = (options.bind or "", options.source) if options.bind or options.source else None
    for _ in range(options.times):
        sock = socket.create_connection((address, options.port), source_address=source)
        if options.tls:
            import ssl
            context = ssl._create_unverified_context()
            sock = context.wrap_socket(sock, server_hostname=options.host)
        play(sock, options, number)


def serve(options):
    server = socket.create_server(("", options.listen), backlog=128)
    while True:
        sock, _ = server.accept()
        threading.Thread(target=play, args=(sock, options), daemon=True).start()


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--listen", type=int)
    words.add_argument("--to")
    words.add_argument("--bind")
    words.add_argument("--from", dest="source", type=int, default=0)
    words.add_argument("--times", type=int, default=1)
    words.add_argument("--host", default="chat.test")
    words.add_argument("--key")
    words.add_argument("--version", default="13")
    words.add_argument("--header", "-H", action="append", default=[])
    words.add_argument("--drip", action="store_true")
    words.add_argument("--tls", action="store_true")
    words.add_argument("--clients", type=int, default=1)
    words.add_argument("steps", nargs="*")
    options = words.parse_intermixed_args(sys.argv[1:])
    if options.listen:
        serve(options)
    options.port = int(options.steps.pop(0))
    threads = [threading.Thread(target=connect, args=(options, number)) for number in range(options.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main()
