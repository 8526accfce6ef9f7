// Signing in with a token. The service keeps a session in a cookie that no script can read; a service without sessions gets
// the token with each request.

import { setText } from "./format.js";
import { t } from "./language.js";
import { address, keepToken, readJson } from "./source.js";

const TIMEOUT_MS = 8000;
const SIGNED_IN = "signed-in";
const $ = (id) => document.getElementById(id);

export class SignIn {
  #onChange;

  /** `onChange` is called after signing in or out. */
  constructor(onChange) {
    this.#onChange = onChange;
    $("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit($("token").value.trim());
    });
    $("sign-out").addEventListener("click", () => this.#signOut());
    this.#showName();
  }

  /** Shows the form. */
  ask() {
    $("token-form").hidden = false;
  }

  /** Shows the form to a visitor who may not see the device: is he still signed in, as somebody who may not? */
  async askStranger() {
    this.ask();
    const answer = await readJson("session", TIMEOUT_MS);
    if (answer?.status !== 200) return;
    const { body } = answer;
    const hasEnded = !body.role && !$("session").hidden;
    this.#remember(body.role ? body : null);
    const hint = hasEnded ? t("token.ended") : t("token.hint");
    setText($("token-hint"), body.role ? t("token.not_enough", { name: body.name }) : hint);
  }

  /** Hides the form: the visitor may see what is asked for. */
  accepted() {
    $("token-form").hidden = true;
  }

  /** Signs in with the token in the address (#token=…), if there is one, and removes it from there: it must not appear in
   * screenshots. */
  async takeFromAddress() {
    const token = new URLSearchParams(location.hash.slice(1)).get("token");
    if (!token) return;
    history.replaceState(null, "", location.pathname + location.search);
    await this.#submit(token);
  }

  async #submit(token) {
    const answer = await send("POST", { token });
    if (answer?.status === 404) keepToken(token);
    else if (answer?.status !== 200) {
      const why = answer?.status === 429 ? "token.wait" : "token.rejected";
      setText($("token-hint"), t(answer ? why : "action.no_answer"));
      this.ask();
      return;
    } else this.#remember(answer.body);
    $("token").value = "";
    this.accepted();
    this.#onChange();
  }

  async #signOut() {
    // Without an answer the browser keeps the cookie, which no script can remove.
    if (!await send("DELETE")) {
      setText($("session-name"), t("token.still_in"));
      return;
    }
    this.#remember(null);
    this.#onChange();
  }

  #remember(who) {
    try {
      if (who) localStorage.setItem(SIGNED_IN, `${who.name} (${who.role})`);
      else localStorage.removeItem(SIGNED_IN);
    } catch { /* the browser keeps nothing; the cookie counts */ }
    this.#showName();
  }

  #showName() {
    let name = null;
    try {
      name = localStorage.getItem(SIGNED_IN);
    } catch { /* shown as signed out */ }
    $("session").hidden = !name;
    setText($("session-name"), name ? t("token.signed_in", { name }) : "");
  }
}

async function send(method, body) {
  try {
    const response = await fetch(address("session"), {
      method, headers: { "Content-Type": "application/json" }, body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return { status: response.status, body: await response.json().catch(() => null) };
  } catch {
    return null;
  }
}
