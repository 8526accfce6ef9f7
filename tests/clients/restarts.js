// A camera that reconnects after restarts: node restarts.js URL TRANSPORT PICTURE
// Prints a JSON line for each connect, disconnect and result. Sends a picture on each `connected`, and never calls connect().
const { io } = require(process.env.SOCKET_IO_CLIENT);
const fs = require("fs");

const [url, transport, path] = process.argv.slice(2);
const picture = fs.readFileSync(path);
const socket = io(url, { transports: [transport], auth: { name: `javascript-${transport}` } });
const report = (event, detail) => console.log(JSON.stringify({ event, detail }));

socket.on("disconnect", (reason) => report("disconnect", reason));
socket.on("connected", () => {
  report("connected", socket.id);
  socket.emit("process_frame", picture);
});
socket.on("detection_results", () => report("answered", socket.id));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
