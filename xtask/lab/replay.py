# Sends the frames of a pcap file as they are, as fast as the interface takes them.
#
#   replay.py INTERFACE < FILE
import socket
import struct
import sys

HEADER, RECORD = 24, struct.Struct("<IIII")

wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind((sys.argv[1], 0))
capture = sys.stdin.buffer
capture.read(HEADER)
while record := capture.read(RECORD.size):
    frame = capture.read(RECORD.unpack(record)[2])
    while True:
        try:
            wire.send(frame)
            break
        except OSError as error:
            # The interface has no room now.
            if error.errno != 105:
                raise
