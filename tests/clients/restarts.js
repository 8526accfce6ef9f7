// A camera that stays through restarts: node restarts.js URL TRANSPORT PICTURE
// One JSON line for each `connected` and each answer; it sends its picture after each `connected` and never calls connect().
const { io } = require(process.env.SOCKET_IO_CLIENT);
const fs = require("fs");

const [url, transport, path] = process.argv.slice(2);
const picture = fs.readFileSync(path);
const socket = io(url, { transports: [transport], auth: { name: `javascript-${transport}` } });
const say = (event, detail) => console.log(JSON.stringify({ event, detail }));

socket.on("disconnect", (reason) => say("disconnect", reason));
socket.on("connected", () => {
  say("connected", socket.id);
  socket.emit("process_frame", picture);
});
socket.on("detection_results", () => say("answered", socket.id));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
