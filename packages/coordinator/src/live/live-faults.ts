import { MESSAGE_FAULTS } from '@numalab/interconnect';
import type { Scenario } from '../scenario/scenario.ts';

/** Faults that happen to threads that race. Their times are times of the clock on the wall, whatever the scale of latencies. */
const LIVE_FAULTS: ReadonlySet<string> = new Set([...MESSAGE_FAULTS, 'pause', 'slow-node', 'crash', 'flip-replica']);

/** Of these, those that do not concern messages of EL2, copies, or nodes that come back with a copy of the order's. */
const WITHOUT_COPIES: ReadonlySet<string> = new Set(['pause', 'slow-node']);

/** Messages that `match` can name and that nobody sends in live. */
const NOT_SENT: ReadonlySet<string> = new Set(['hello', 'resync']);

/** Writers whose cores' contexts a crash may lose without leaving a patch half done. */
const RESTARTABLE: ReadonlySet<string> = new Set(['synthetic', 'recorded']);

/** Refuses planned faults that real threads do not allow. `fail` throws. */
export const checkLiveFaults = (scenario: Scenario, fail: (field: string, what: string) => never): void => {
  for (const [index, { kind, match, target }] of scenario.faults.entries()) {
    const field = `faults.${index}.kind`;
    if (!LIVE_FAULTS.has(kind)) fail(field, `${kind} cannot be had`);
    if (scenario.replication.strategy === 'none' && !WITHOUT_COPIES.has(kind)) {
      fail(field, `${kind} without replication cannot be had`);
    }
    if (match !== null && NOT_SENT.has(match)) fail(`faults.${index}.match`, `${match} is sent by nobody`);
    if (kind !== 'crash') continue;
    const patcher = scenario.kernel.writers.find((writer) => !RESTARTABLE.has(writer.kind));
    if (patcher !== undefined) {
      fail(
        field,
        `crash (of ${target ?? 'a node'}) loses its cores, and ${patcher.kind} would be left half done: it cannot be had`,
      );
    }
  }
};
