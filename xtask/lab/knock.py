# Upgrade requests one after another, each on a connection of its own, with uneven pauses.
#
#   knock.py PORT NUMBER PATH       the connections go to $PROXY
import base64
import os
import random
import socket
import sys
import time

port, number, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
pauses = random.Random(1)
for _ in range(number):
    key = base64.b64encode(os.urandom(16)).decode()
    with socket.create_connection((os.environ["PROXY"], port)) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: chat.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        sock.recv(65536)
    time.sleep(pauses.uniform(0.02, 0.1))
