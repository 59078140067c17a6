/** 12,345. */
export const formatCount = (count: number): string => String(count).replace(/\B(?=(\d{3})+$)/g, ',');

const scaled = (value: number, unit: string): string => `${Number(value.toPrecision(3))} ${unit}`;

/** A span of picoseconds to three digits: 1.52 us. */
export const formatTime = (ps: number): string => {
  if (ps < 1e6) return scaled(ps / 1e3, 'ns');
  if (ps < 1e9) return scaled(ps / 1e6, 'us');
  return ps < 1e12 ? scaled(ps / 1e9, 'ms') : scaled(ps / 1e12, 's');
};

/** A size to three digits: 1.88 MiB. */
export const formatBytes = (bytes: number): string => {
  if (bytes < 1024) return `${bytes} bytes`;
  let value = bytes / 1024;
  for (const unit of ['KiB', 'MiB', 'GiB']) {
    if (value < 1024) return scaled(value, unit);
    value /= 1024;
  }
  return scaled(value, 'TiB');
};

/** 12.34 %, of a ratio. */
export const formatPercent = (ratio: number): string => `${(ratio * 100).toFixed(2)} %`;
