// A slow origin: 200 to ordinary requests at once, and 101 to upgrades after some seconds.
//
//   slow-origin.cjs PORT SECONDS
const http = require('node:http');
const { WebSocketServer } = require('ws');

const [port, seconds] = process.argv.slice(2).map(Number);
const wss = new WebSocketServer({ noServer: true });
const server = http.createServer((_, res) => res.end('chat'));
server.on('upgrade', (req, socket, head) => {
  socket.on('error', (error) => console.log(error.message));
  setTimeout(() => socket.destroyed || wss.handleUpgrade(req, socket, head, (ws) => ws.on('message', (data) => ws.send(data))),
    seconds * 1000);
});
server.listen(port);
