// A minimal camera in JavaScript: npm install socket.io-client, then
// node camera.js http://127.0.0.1:8080 gate picture.jpg [token]
const fs = require("fs"), { io } = require("socket.io-client");

const [url, name, path, token] = process.argv.slice(2);
const socket = io(url, { transports: ["websocket"], query: { camera: name }, auth: token ? { name, token } : { name } });
let limits, sentAt, timer, moved, number = 0;

function sendFrame() {
  sentAt = Date.now();
  // take a picture here, no larger than limits.max_side
  socket.emit("process_frame", { image: fs.readFileSync(path), frame_id: ++number, captured_at: sentAt / 1000 });
}
function sendNextAfter(result) {
  const pause = Math.max(limits.min_interval * 1000 - (Date.now() - sentAt), (result.retry_after || 0) * 1000, 0);
  clearTimeout(timer);
  if (moved) { // this device of a site sends the camera to another one: connect again between two frames
    socket.io.opts.query = { camera: name, moved };
    moved = undefined;
    return socket.disconnect().connect();
  }
  timer = setTimeout(() => socket.connected && sendFrame(), pause);
}
socket.on("connected", (greeting) => { limits = greeting.limits; sendFrame(); });
socket.on("moved", (place) => { moved = place.moved; });
socket.on("limits", (newLimits) => { limits = newLimits; });
for (const event of ["detection_results", "detection_error", "frame_skipped"]) {
  socket.on(event, (result) => {
    console.log(event, (result.detections || []).map((one) => `${one.name} ${one.confidence.toFixed(2)}`).join(", "));
    sendNextAfter(result);
  });
}
// socket.io-client does not retry by itself after a refusal; null means that it never helps.
socket.on("connect_error", ({ message, data }) => {
  console.error("refused:", message);
  if (data?.retry_after != null) setTimeout(() => socket.connect(), data.retry_after * 1000);
});
