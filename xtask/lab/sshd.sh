# An SSH server with keys of its own: an origin that speaks no HTTP.
#
#   sshd.sh PORT
set -eu
mkdir -p /run/sshd
ssh-keygen -q -t ed25519 -N '' -f host_key
exec /usr/sbin/sshd -D -e -f /dev/null -p "$1" -h "$PWD/host_key" -o PidFile=none
