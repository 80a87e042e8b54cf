// A lenient origin: node `ws`, echoing. It takes an upgrade in HTTP/1.0, and answers 426 to an ordinary request.
//
//   node-ws.cjs PORT [PATH]
const { WebSocketServer } = require('ws');

const [port, path] = process.argv.slice(2);
const server = new WebSocketServer({ port: Number(port), host: process.env.BIND, path, perMessageDeflate: false });
server.on('connection', (ws) => {
  ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }));
  ws.on('error', (error) => console.log(error.message));
});
