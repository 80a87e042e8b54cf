// An ordinary application: express, with every kind of response, and a WebSocket (node `ws`) on /ws.
//
//   express.cjs PORT
const http = require('node:http');
const express = require('express');
const { WebSocketServer } = require('ws');

const app = express();
app.use(express.raw({ type: () => true, limit: '4mb' }));
app.get('/', (_, res) => res.send('<h1>chat</h1>'));
app.get('/api/items', (_, res) => res.json([{ id: 1, name: 'one' }, { id: 2, name: 'two' }]));
app.post('/api/items', (req, res) => res.status(201).json({ bytes: req.body?.length ?? 0 }));
app.get('/large', (_, res) => res.send('x'.repeat(60000)));
app.get('/empty', (_, res) => res.status(204).end());
app.get('/moved', (_, res) => res.redirect(301, '/'));
app.get('/last', (_, res) => res.set('Connection', 'close').send('last words'));
app.get('/stream', (_, res) => {
  ['one ', 'two ', 'three'].forEach((word, n) => setTimeout(() => (n < 2 ? res.write(word) : res.end(word)), n * 30));
});
app.get('/events', (_, res) => {
  res.set('Content-Type', 'text/event-stream');
  [1, 2, 3].forEach((n) => setTimeout(() => res.write(`data: ${n}\n\n`), n * 50));
  setTimeout(() => res.end(), 200);
});
app.get('/auth', (req, res) => res.status(req.get('Authorization') ? 200 : 401).end());
app.all('/mirror/{*rest}', (_, res) => res.send('mirrored'));

const server = http.createServer(app);
const wss = new WebSocketServer({ server, path: '/ws' });
wss.on('connection', (ws) => ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary })));
server.listen(Number(process.argv[2]));
