// Proxies in node, as people write them with the package `http-proxy`.
//
//   relay.cjs PORT good          forwards requests and upgrades to 127.0.0.1:3000
//   relay.cjs PORT twice         listens for upgrades twice, the second time for 127.0.0.1:3001
//   relay.cjs PORT both          answers upgrades by itself (package `ws`) and forwards them as well
//   relay.cjs PORT bare          forwards all as requests: nobody listens for upgrades
//   relay.cjs PORT closed        hangs up on upgrades
//   relay.cjs PORT idle          ends a tunnel after 5 s of silence, with a Close frame (1001) that it makes up
const http = require('node:http');
const { createProxyServer } = require('http-proxy');
const { WebSocketServer } = require('ws');

const [port, kind] = process.argv.slice(2);
const proxy = createProxyServer({ target: 'http://127.0.0.1:3000', xfwd: true });
proxy.on('error', (error, _, out) => {
  console.log(error.message);
  out.destroy();
});
const server = http.createServer((req, res) => proxy.web(req, res));
const forward = (target) => server.on('upgrade', (req, socket, head) => proxy.ws(req, socket, head, { target }));
const kinds = {
  good: () => forward('http://127.0.0.1:3000'),
  twice: () => { forward('http://127.0.0.1:3000'); forward('http://127.0.0.1:3001'); },
  both: () => { new WebSocketServer({ server }); forward('http://127.0.0.1:3000'); },
  bare: () => {},
  idle: () => {
    forward('http://127.0.0.1:3000');
    server.on('upgrade', (_, socket) => socket.setTimeout(5000, () => socket.end(Buffer.from([0x88, 2, 0x03, 0xe9]))));
  },
  closed: () => server.on('upgrade', (req, socket) => socket.destroy()),
};
kinds[kind]();
server.listen(Number(port));
