# One end of a cable: frames of a device go to the other end's socket, and come from there.
#
#   cable.py DEVICE OWN-SOCKET OTHER-SOCKET [TAGS]
#
# Without TAGS the device has no link layer. With them it is an Ethernet, which gets all frames behind so many tags.
import fcntl
import os
import select
import socket
import struct
import sys

TUNSETIFF, TUN, TAP, NO_INFORMATION = 0x400454CA, 0x0001, 0x0002, 0x1000
TAG = bytes([0x81, 0, 0, 7])

name, own, other = sys.argv[1:4]
tags = int(sys.argv[4]) if len(sys.argv) > 4 else None
device = os.open("/dev/net/tun", os.O_RDWR)
flags = (TUN if tags is None else TAP) | NO_INFORMATION
fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
cable = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
cable.bind(own)


def untagged(frame):
    return frame[:12] + frame[12 + 4 * tags:] if tags else frame


def tagged(frame):
    return frame[:12] + TAG * tags + frame[12:] if tags else frame


while True:
    ready, _, _ = select.select([device, cable], [], [])
    for end in ready:
        # The device may be down, and the other end not there.
        try:
            if end == device:
                cable.sendto(untagged(os.read(device, 65536)), other)
            else:
                os.write(device, tagged(cable.recv(65536)))
        except OSError:
            pass
