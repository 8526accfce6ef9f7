// A camera in a few lines of JavaScript: npm install socket.io-client, then
// node camera.js http://box:8080 gate picture.jpg
const fs = require("fs");
const { io } = require("socket.io-client");

const [url, name, path, token] = process.argv.slice(2);
const socket = io(url, { transports: ["websocket"], auth: token ? { name, token } : { name } });
let limits, begun, waiting, number = 0;

function shoot() {
  begun = Date.now();
  // here your camera takes a picture, no larger than limits.max_side
  socket.emit("process_frame", { image: fs.readFileSync(path), frame_id: ++number, captured_at: begun / 1000 });
}
function next(answer) {
  const pause = Math.max(limits.min_interval * 1000 - (Date.now() - begun), (answer.retry_after || 0) * 1000, 0);
  clearTimeout(waiting);
  waiting = setTimeout(() => socket.connected && shoot(), pause);
}
socket.on("connected", (greeting) => { limits = greeting.limits; shoot(); });
socket.on("limits", (told) => { limits = told; });
for (const event of ["detection_results", "detection_error", "frame_skipped"]) {
  socket.on(event, (answer) => {
    console.log(event, (answer.detections || []).map((one) => `${one.name} ${one.confidence.toFixed(2)}`).join(", "));
    next(answer);
  });
}
socket.on("connect_error", (error) => console.error("refused:", error.message)); // it goes on trying by itself
