// A client of Socket.IO 2: node old.js URL TRANSPORT -> the text of its `error` event
const io = require(process.env.SOCKET_IO_CLIENT);
const [url, transport] = process.argv.slice(2);
const socket = io(url, { transports: [transport], reconnection: false });
const end = (text) => { console.log(text); socket.close(); process.exit(0); };
socket.on("error", end);
socket.on("connect_error", (error) => end(`connect_error: ${error.message}`));
setTimeout(() => end("no error event"), 15000);
