// The socket.io client as a browser runs it: polling first, then an upgrade to websocket if that works.
//
//   socketio-client.cjs URL
const { io } = require('socket.io-client');

const target = new URL(process.argv[2]);
const host = target.host;
target.hostname = process.env.PROXY;
const socket = io(target.toString(), { extraHeaders: { Host: host }, reconnection: false });
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
socket.on('connect_error', (error) => console.log(error.message));
socket.on('connect', async () => {
  console.log('connected by', socket.io.engine.transport.name);
  for (const text of ['one', 'two', 'three']) {
    await socket.emitWithAck('say', text);
    await pause(400);
  }
  console.log('went on by', socket.io.engine.transport.name);
  socket.disconnect();
  await pause(200);
  process.exit(0);
});
