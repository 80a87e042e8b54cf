// An old server, which knows the names of fields in one spelling only: 400 to an upgrade without `Sec-WebSocket-Key`
// in just these letters, else 101 and silence until the client goes.
//
//   fussy-origin.cjs PORT
const net = require('node:net');
const { createHash } = require('node:crypto');

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
net.createServer((socket) => {
  let head = '';
  const read = (data) => {
    head += data.toString('latin1');
    if (!head.includes('\r\n\r\n')) return;
    socket.off('data', read);
    const key = /\r\nSec-WebSocket-Key: (\S+)\r\n/.exec(head)?.[1];
    if (!key) {
      socket.end('HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\nno key');
      return;
    }
    const accept = createHash('sha1').update(key + GUID).digest('base64');
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
      + `Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
    socket.resume();
  };
  socket.on('data', read);
  socket.on('end', () => socket.end());
  socket.on('error', (error) => console.log(error.message));
}).listen(Number(process.argv[2]));
