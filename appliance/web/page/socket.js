// A Socket.IO client as small as this page's needs: text events on the default namespace over one WebSocket.
// It connects again for ever, and takes a server that has stopped pinging for gone, because on a bad radio link a dead
// connection can look open for minutes.

const PAUSE_MIN_MS = 1000;
const PAUSE_MAX_MS = 10000;
const OPENING_MS = 10000;

/** Connects to `url` (http or https) and keeps at it; `auth()` is asked at every attempt. */
export function connectSocket({ url, auth, onUp, onDown, onRefused, onEvent }) {
  let socket = null;
  let pause_ms = PAUSE_MIN_MS;
  let patience_ms = OPENING_MS;
  let silenceTimer, retryTimer;
  let acks = [];

  function open() {
    clearTimeout(retryTimer);
    const address = new URL("socket.io/?EIO=4&transport=websocket", url);
    address.protocol = address.protocol.replace("http", "ws");
    patience_ms = OPENING_MS;
    socket = new WebSocket(address);
    socket.onmessage = ({ data }) => { listen(); receive(data); };
    socket.onclose = lose;
    listen();
  }

  function listen() {
    clearTimeout(silenceTimer);
    silenceTimer = setTimeout(lose, patience_ms);
  }

  // Closing a dead link can take as long as the link stays dead, so its socket is let go at once.
  function drop() {
    clearTimeout(silenceTimer);
    if (socket) socket.onmessage = socket.onclose = null;
    socket?.close();
    socket = null;
    acks = [];
  }

  function lose() {
    drop();
    onDown();
    // Jitter: after a restart of the box not every page and camera should knock in the same moment.
    retryTimer = setTimeout(open, pause_ms * (0.5 + Math.random() / 2));
    pause_ms = Math.min(pause_ms * 1.6, PAUSE_MAX_MS);
  }

  function receive(data) {
    if (typeof data !== "string") return;
    if (data[0] === "0") {
      const { pingInterval, pingTimeout } = JSON.parse(data.slice(1));
      patience_ms = pingInterval + pingTimeout;
      listen();
      socket.send("40" + JSON.stringify(auth()));
    } else if (data === "2") {
      socket.send("3");
    } else if (data === "1" || data.startsWith("41")) {
      lose();
    } else if (data.startsWith("40")) {
      pause_ms = PAUSE_MIN_MS;
      onUp();
    } else if (data.startsWith("44")) {
      lose();
      onRefused(JSON.parse(data.slice(2)).message);
    } else {
      const [, kind, id, body] = /^4([23])(\d*)(\[.*)$/s.exec(data) ?? [];
      if (kind === "2") onEvent(...JSON.parse(body));
      if (kind === "3") acks[Number(id)]?.(...JSON.parse(body));
    }
  }

  open();
  return {
    /** Sends an event; `onAck` gets the server's answer, or nothing if the connection is lost before it. */
    emit(name, payload, onAck) {
      if (socket?.readyState !== WebSocket.OPEN) return;
      const id = acks.push(onAck) - 1;
      socket.send(`42${id}` + JSON.stringify([name, payload]));
    },
    /** Connects anew at once, with what `auth()` says now. */
    restart() {
      drop();
      pause_ms = PAUSE_MIN_MS;
      open();
    },
    /** Ends the pause before the next attempt, if there is one. */
    hurry() {
      if (!socket) open();
    },
  };
}
