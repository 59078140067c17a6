/**
 * Jitter of latencies: log-normal with sigma 0.2 [arm64 reference 8.6], as a table, because the values of Math.exp and
 * Math.log are not fixed by the language. Entry i is max(0, exp(0.2 z) - 1) in 1/1024, z being the standard normal quantile
 * at (i + 0.5) / 256. The base latency is the median, and jitter only adds to it, so that the smallest link latency stays a
 * bound on which windows can rely: the faster half of the distribution is cut to the median. The mean grows by 9 %.
 */
const UPPER_HALF: readonly number[] = [
  1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 28, 30, 32, 34, 36, 38, 40, 42, 44, 47, 49, 51, 53, 55, 57, 60, 62, 64,
  66, 69, 71, 73, 75, 78, 80, 82, 85, 87, 89, 92, 94, 97, 99, 101, 104, 106, 109, 111, 114, 117, 119, 122, 124, 127,
  130, 132, 135, 138, 141, 144, 146, 149, 152, 155, 158, 161, 164, 167, 170, 174, 177, 180, 183, 187, 190, 194, 197,
  201, 204, 208, 212, 215, 219, 223, 227, 231, 235, 240, 244, 248, 253, 258, 262, 267, 272, 278, 283, 288, 294, 300,
  306, 312, 318, 325, 332, 339, 347, 355, 363, 372, 382, 392, 402, 414, 426, 439, 454, 471, 489, 511, 537, 568, 610,
  671, 800,
];

/** What jitter adds to a latency, in 1/1024 of it, for each of 256 equally likely draws. */
export const JITTER_TABLE: Int32Array = Int32Array.from([...new Array<number>(128).fill(0), ...UPPER_HALF]);

/**
 * Picoseconds that jitter adds to `basePs`. `draw` is a uniform integer in [0, 256); `scale1024` scales the table (1024:
 * as it is, 0: no jitter). Never negative.
 */
export const jitterPs = (basePs: number, draw: number, scale1024 = 1024): number =>
  Math.floor((basePs * JITTER_TABLE[draw & 255]! * scale1024) / 0x10_0000);
