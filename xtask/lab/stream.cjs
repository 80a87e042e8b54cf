// Many tunnels with bytes in them, with node `ws`: an origin that sends what it is asked for, and the clients that ask.
//
//   stream.cjs serve PORT
//   stream.cjs ask PORT TUNNELS MESSAGES LENGTH SECONDS
//
// The clients say "open" when all tunnels are, wait for a file named `go`, ask on every tunnel for its messages, one at a
// time and evenly over the seconds, close, and say how many bytes came. They connect to $PROXY.
const fs = require('fs');
const { setTimeout: sleep } = require('timers/promises');
const { WebSocket, WebSocketServer } = require('ws');

// As many handshakes at the same time.
const ABREAST = 50;

function serve(port) {
  const server = new WebSocketServer({ port, perMessageDeflate: false });
  server.on('connection', (ws) => {
    ws.on('message', (length) => ws.send(Buffer.alloc(Number(length))));
    ws.on('error', (error) => console.log(error.message));
  });
}

function open(url) {
  return new Promise((done, failed) => {
    const ws = new WebSocket(url, { headers: { Host: 'chat.test' }, perMessageDeflate: false });
    ws.on('open', () => done(ws));
    ws.on('error', failed);
  });
}

async function drain(ws, messages, length, seconds, offset) {
  const pause = (seconds * 1000) / messages;
  let bytes = 0;
  const start = performance.now() + pause * offset;
  for (let number = 0; number < messages; number += 1) {
    await sleep(Math.max(0, start + pause * number - performance.now()));
    const came = new Promise((done) => ws.once('message', done));
    ws.send(String(length));
    bytes += (await came).length;
  }
  const closed = new Promise((done) => ws.once('close', done));
  ws.close(1000);
  await closed;
  return bytes;
}

async function ask(port, tunnels, messages, length, seconds) {
  const url = `ws://${process.env.PROXY}:${port}/tunnel`;
  const all = [];
  while (all.length < tunnels) {
    const some = Math.min(ABREAST, tunnels - all.length);
    all.push(...await Promise.all(Array.from({ length: some }, () => open(url))));
  }
  console.log('open');
  while (!fs.existsSync('go')) await sleep(20);
  const bytes = await Promise.all(all.map((ws, number) => drain(ws, messages, length, seconds, number / tunnels)));
  console.log(bytes.reduce((sum, some) => sum + some, 0));
}

const [what, ...numbers] = process.argv.slice(2);
({ serve, ask })[what](...numbers.map(Number));
