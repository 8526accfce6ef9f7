// Where the ticks of an axis are.

const STEPS = [1, 2, 5, 10];
// Quarters only where no label loses its fraction: labels have one digit after the point at most.
const STEPS_FROM_TEN = [1, 2, 2.5, 5, 10];
const TIME_STEPS_S = [60, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200];

/** Round values from at most `low` to at least `high`, about `count` steps; `whole`: no fractions. */
export function ticks(low, high, count = 3, whole = false) {
  const rough = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = power * (power < 10 ? STEPS : STEPS_FROM_TEN).find((one) => one * power >= rough * 0.999);
  if (whole) step = Math.max(1, Math.ceil(step));
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, index) => (first + index) * step);
}

/** Round times of day between two moments in seconds since 1970, at most `most`. */
export function timeTicks(start_s, end_s, most) {
  const step_s = TIME_STEPS_S.find((one) => (end_s - start_s) / one < most) ?? TIME_STEPS_S.at(-1);
  // Round by the clock on the wall, also where it is half an hour off.
  const offset_s = -60 * new Date(start_s * 1000).getTimezoneOffset();
  const first_s = Math.ceil((start_s + offset_s) / step_s) * step_s - offset_s;
  const found = [];
  for (let at_s = first_s; at_s <= end_s; at_s += step_s) found.push(at_s);
  return found;
}
