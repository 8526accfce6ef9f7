// A minimal Socket.IO client: text events on the default namespace over one WebSocket. It reconnects until it succeeds.
// If the server's pings stop, it treats the connection as lost: on a weak radio link a dead connection can stay open
// for minutes.

const PAUSE_MIN_MS = 1000;
const PAUSE_MAX_MS = 10000;
const OPENING_MS = 10000;

/** Once started: connects to `url` (http or https) and reconnects after every loss; calls `auth()` at each attempt. */
export function connectSocket({ url, auth, onUp, onDown, onRefused, onEvent }) {
  let socket = null;
  let isStarted = false;
  let pause_ms = PAUSE_MIN_MS;
  let timeout_ms = OPENING_MS;
  let silenceTimer, retryTimer;
  let acks = [];

  function open() {
    clearTimeout(retryTimer);
    const address = new URL("socket.io/?EIO=4&transport=websocket", url);
    address.protocol = address.protocol.replace("http", "ws");
    timeout_ms = OPENING_MS;
    socket = new WebSocket(address);
    socket.onmessage = ({ data }) => { restartTimeout(); receive(data); };
    socket.onclose = reconnect;
    restartTimeout();
  }

  function restartTimeout() {
    clearTimeout(silenceTimer);
    silenceTimer = setTimeout(reconnect, timeout_ms);
  }

  // The closing handshake of a dead connection may never complete, so the socket is abandoned at once.
  function abandon() {
    clearTimeout(silenceTimer);
    if (socket) socket.onmessage = socket.onclose = null;
    socket?.close();
    socket = null;
    acks = [];
  }

  function reconnect() {
    abandon();
    onDown();
    // Jitter, so that after a restart of the device not all clients reconnect at the same moment.
    retryTimer = setTimeout(open, pause_ms * (0.5 + Math.random() / 2));
    pause_ms = Math.min(pause_ms * 1.6, PAUSE_MAX_MS);
  }

  function receive(data) {
    if (typeof data !== "string") return;
    if (data[0] === "0") {
      const { pingInterval, pingTimeout } = JSON.parse(data.slice(1));
      timeout_ms = pingInterval + pingTimeout;
      restartTimeout();
      socket.send("40" + JSON.stringify(auth()));
    } else if (data === "2") {
      socket.send("3");
    } else if (data === "1" || data.startsWith("41")) {
      reconnect();
    } else if (data.startsWith("40")) {
      pause_ms = PAUSE_MIN_MS;
      onUp();
    } else if (data.startsWith("44")) {
      reconnect();
      onRefused(JSON.parse(data.slice(2)).message);
    } else {
      const [, kind, id, body] = /^4([23])(\d*)(\[.*)$/s.exec(data) ?? [];
      if (kind === "2") onEvent(...JSON.parse(body));
      if (kind === "3") acks[Number(id)]?.(...JSON.parse(body));
    }
  }

  return {
    /** Connects, unless it has been started before. */
    start() {
      if (isStarted) return;
      isStarted = true;
      pause_ms = PAUSE_MIN_MS;
      open();
    },
    /** Disconnects until the next start. */
    stop() {
      isStarted = false;
      clearTimeout(retryTimer);
      abandon();
    },
    /** Sends an event; calls `onAck` with the acknowledgement, unless the connection is lost first. */
    emit(name, payload, onAck) {
      if (socket?.readyState !== WebSocket.OPEN) return;
      const id = acks.push(onAck) - 1;
      socket.send(`42${id}` + JSON.stringify([name, payload]));
    },
    /** Skips the pause before the next attempt. */
    retryNow() {
      if (isStarted && !socket) open();
    },
  };
}
