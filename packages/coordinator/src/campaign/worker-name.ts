/** How a worker is known to Redis: how many leases it runs side by side, and its version. */
export interface WorkerName {
  readonly jobs: number;
  readonly version: string;
}

/** The name by which Redis lists a worker. */
export const workerName = ({ jobs, version }: WorkerName): string => `${jobs}@${version}`;

/** Reads it back from the end of a client's name; null if that is no worker's. */
export const parseWorkerName = (text: string): WorkerName | null => {
  const found = /:w:(\d+)@(\S+)$/.exec(text);
  return found === null ? null : { jobs: Number(found[1]), version: found[2]! };
};
