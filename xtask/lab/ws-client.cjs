// A real WebSocket client: node `ws`. Steps: say:TEXT  sleep:SECONDS  close  kill (no Close frame).
//
//   ws-client.cjs [--subprotocol NAME] URL step...     URL names the host; the connection goes to $PROXY
const { WebSocket } = require('ws');

const words = process.argv.slice(2);
const [, subprotocol] = words[0] === '--subprotocol' ? words.splice(0, 2) : [];
const [url, ...steps] = words;
const target = new URL(url);
const host = target.host;
target.hostname = process.env.PROXY;
const ws = new WebSocket(target, subprotocol ? [subprotocol] : [], { headers: { Host: host }, origin: `http://${host}`, rejectUnauthorized: false });
const heard = () => new Promise((done) => ws.once('message', done));
const actions = {
  say: async (text) => { ws.send(text); await heard(); },
  sleep: (seconds) => new Promise((done) => setTimeout(done, seconds * 1000)),
  close: () => ws.close(1000),
  kill: () => ws.terminate(),
};
ws.on('error', (error) => console.log(error.message));
ws.on('close', (code) => console.log('closed', code));
ws.on('open', async () => {
  console.log('upgraded', ws.protocol);
  for (const step of steps) {
    const [name, argument] = step.split(/:(.*)/s);
    await actions[name](argument);
  }
});
