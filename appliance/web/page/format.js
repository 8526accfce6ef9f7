// What every part of the page uses to write into the document.

/** Sets text only if it has changed: screen readers announce every write to a live region. Hides empty elements. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
  element.hidden = text === "";
}

/** A copy of the first element of a template. */
export function fromTemplate(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

/** An element with text, and attributes. */
export function make(tag, text = "", attributes = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Turns commands in backticks into `code` elements, which a tap selects. */
export function withCommands(text) {
  return text.split("`").map((part, index) => (index % 2 === 0 ? part : make("code", part)));
}

/** Sorted as people sort: camera 2 before camera 10. */
export function naturally(a, b) {
  return a.localeCompare(b, undefined, { numeric: true });
}
