// An origin of socket.io: polling and websocket, echoing `say`.
//
//   socketio.cjs PORT
const { Server } = require('socket.io');

const io = new Server(Number(process.argv[2]));
io.on('connection', (socket) => socket.on('say', (text, done) => done(text)));
