// Draws a picture and its bounding boxes. Lines and labels scale with the screen, not with the picture, so that a 4K
// picture stays readable on a phone.

// Light enough for black text, and distinct from each other.
const COLOURS = [
  "#ffd23f", "#5ce1e6", "#ff8fa3", "#9be564", "#c7a6ff", "#ffa552",
  "#6ee7b7", "#8ecbff", "#f49fe3", "#bfd7ea", "#ff9d8a", "#c8ff3d",
];
const DARK = "rgb(0 0 0 / 0.65)";
const FONT_PX = 13;
const LABEL_PX = 20;

/** The colour of a class; the same on every camera and after every restart. */
export function colourOf(detection) {
  return COLOURS[Math.abs(Math.trunc(detection.class) || 0) % COLOURS.length];
}

/** Fills `canvas`, shown `width_css` wide, with `bitmap` and its `detections` (boxes in the bitmap's own pixels). */
export function drawBoxes(canvas, bitmap, detections, width_css) {
  const ratio = window.devicePixelRatio || 1;
  const scale = width_css / bitmap.width;
  const height_css = bitmap.height * scale;
  // Setting the size of a canvas clears and reallocates it, so set it only when it changes.
  const [width, height] = [Math.round(width_css * ratio), Math.round(height_css * ratio)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });

  const pen = canvas.getContext("2d", { alpha: false });
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, 0, 0, width_css, height_css);
  pen.font = `600 ${FONT_PX}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
  pen.lineJoin = "round";

  // Labels are placed from highest to lowest confidence, and drawn in reverse, so that the surest box is on top.
  const sorted = [...detections].sort((a, b) => b.confidence - a.confidence);
  const placed = [];
  const labels = sorted.map((detection) => {
    const text = `${detection.name} ${Math.round(detection.confidence * 100)}%`;
    const box = scaled(detection.box, scale);
    const label = place(box, pen.measureText(text).width + 10, width_css, height_css, placed);
    placed.push(label);
    return { text, box, label, colour: colourOf(detection) };
  });
  labels.reverse();
  for (const { box, colour } of labels) frame(pen, box, colour);
  for (const { text, label, colour } of labels) {
    pen.fillStyle = colour;
    pen.fillRect(label.x, label.y, label.width, LABEL_PX);
    pen.fillStyle = "#000";
    pen.fillText(text, label.x + 5, label.y + LABEL_PX / 2 + 0.5);
  }
}

function scaled({ x1, y1, x2, y2 }, scale) {
  return { x: x1 * scale, y: y1 * scale, width: (x2 - x1) * scale, height: (y2 - y1) * scale };
}

// A dark outline keeps the coloured line visible on bright backgrounds.
function frame(pen, { x, y, width, height }, colour) {
  for (const [line, style] of [[4.5, DARK], [2.5, colour]]) {
    pen.lineWidth = line;
    pen.strokeStyle = style;
    pen.strokeRect(x, y, width, height);
  }
}

/** The label's position: above, inside or below the box; the first one within the picture that overlaps no label. */
function place(box, width, width_css, height_css, placed) {
  const x = Math.max(0, Math.min(box.x - 1.25, width_css - width));
  const tops = [box.y - LABEL_PX, box.y, box.y + box.height, box.y + box.height - LABEL_PX];
  const inside = tops.filter((y) => y >= 0 && y + LABEL_PX <= height_css);
  const free = inside.find((y) => !placed.some((other) =>
    x < other.x + other.width && other.x < x + width && Math.abs(y - other.y) < LABEL_PX));
  return { x, y: free ?? inside[0] ?? 0, width };
}
