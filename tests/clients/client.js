// A minimal camera, as an integrator would write it.
// node client.js URL TRANSPORT text|binary PICTURE -> one JSON line with everything it received
const { io } = require(process.env.SOCKET_IO_CLIENT);
const fs = require("fs");

const [url, transport, form, path] = process.argv.slice(2);
const picture = fs.readFileSync(path);
const socket = io(url, { transports: [transport], auth: { name: "javascript" }, reconnection: false });
const received = [];

function done(status) {
  console.log(JSON.stringify({ status, transport: socket.io.engine?.transport?.name, received }));
  socket.disconnect();
  process.exitCode = status === "answered" ? 0 : 1;
}

const timeout = setTimeout(() => done("timeout"), 15000);
socket.on("connect_error", (error) => { clearTimeout(timeout); done(`refused: ${error.message}`); });
socket.onAny((event, payload) => received.push([event, payload]));
socket.on("connected", () => {
  const frame = form === "text" ? picture.toString("base64") : { image: picture, frame_id: "js-1" };
  socket.emit("process_frame", frame, (ack) => received.push(["ack", ack]));
});
socket.on("detection_results", () => {
  clearTimeout(timeout);
  setTimeout(() => done("answered"), 20); // the acknowledgement may arrive later
});
