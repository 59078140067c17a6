import { loadScenario } from '../scenario/load.ts';
import type { Scenario } from '../scenario/scenario.ts';

/** What a matrix varies, and what it puts over all of its scenarios. */
export interface MatrixOptions {
  /** Names or files; default: what each scenario says. */
  readonly protocols?: readonly string[];
  /** Built-in machines or files of distances; default: what each scenario says. */
  readonly topologies?: readonly string[];
  /** `path=value` each. */
  readonly set?: readonly string[];
  readonly duration?: string | undefined;
}

/** Every scenario (file, or id of a built-in one) with every protocol on every topology. Throws InputError. */
export const matrix = (references: readonly string[], options: MatrixOptions = {}): Scenario[] => {
  const { set = [], duration } = options;
  const orNone = (list: readonly string[] | undefined): readonly (string | undefined)[] =>
    list === undefined || list.length === 0 ? [undefined] : list;
  return references.flatMap((reference) =>
    orNone(options.protocols).flatMap((protocol) =>
      orNone(options.topologies).map((topology) => loadScenario(reference, { set, duration, protocol, topology })),
    ),
  );
};
