# The words of the client scripts. $PROXY is the proxy's address, $<name>_pid the pid of the proxy of that name;
# $ON_PROXY and $ON_ORIGIN before a command run it on that host.

# ws URL [options] step...      Python `websockets`: a real WebSocket client.
ws() { "$LAB_PYTHON" "$LAB/ws.py" "$@"; }

# raw PORT [options] step...    bytes on a plain socket, for everything that a library would not send.
raw() { "$LAB_PYTHON" "$LAB/raw.py" "$@"; }

# nodews URL step...            node `ws`: the other real client.
nodews() { node "$LAB/ws-client.cjs" "$@"; }

# socketio URL                  the socket.io client: polling first, then websocket.
socketio() { node "$LAB/socketio-client.cjs" "$@"; }

# get URL [curl options]        an ordinary request.
get() { local url=$1; shift; curl -sS -o /dev/null -w '%{method} %{url} %{http_code}\n' "$@" "${url/chat.test/$PROXY}" -H 'Host: chat.test'; }
