// An origin that speaks HTTP/2 in plaintext, without RFC 8441: it answers 200 to ordinary requests.
//
//   h2-origin.cjs PORT
const http2 = require('node:http2');

const server = http2.createServer();
server.on('stream', (stream) => stream.respond({ ':status': 200, 'content-type': 'text/plain' }) || stream.end('chat'));
server.on('sessionError', (error) => console.log(error.message));
server.listen(Number(process.argv[2]));
