// Where ticks and buckets lie on a time axis.

const steps = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 2 * 60e3, 5 * 60e3, 10 * 60e3, 15 * 60e3,
  30 * 60e3, 3600e3, 2 * 3600e3, 3 * 3600e3, 6 * 3600e3, 12 * 3600e3, 86400e3, 2 * 86400e3, 7 * 86400e3, 28 * 86400e3,
];

// stepAtLeast returns the smallest round number of milliseconds that is not below ms.
export const stepAtLeast = (ms) => steps.find((s) => s >= ms) ?? steps.at(-1) * Math.ceil(ms / steps.at(-1));

// ticks returns the round times from begin to end, and their distance, about px of width pixels apart.
export function ticks(begin, end, width, px) {
  const step = stepAtLeast(((end - begin) * px) / Math.max(width, 1));
  const at = [];
  for (let t = Math.ceil(begin / step) * step; t <= end; t += step) at.push(t);
  return { step, at };
}

// roundUp returns the next round number, for the top of a scale.
export function roundUp(n) {
  if (n <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((m) => m * power).find((m) => m >= n - 1e-9);
}
