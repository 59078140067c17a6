import { buildSpec, loadScenario, runLiveScenario, type Scenario, warmUpOf } from '@numalab/coordinator';
import type { Figure } from './figure.ts';
import { naiveBroadcast } from './naive-broadcast.ts';

const MS = 20_000;
const NODES = 4;
const IN_FLIGHT = 16;

/** Writes that a run of scenarios/live.yaml retires a second. Throws if the run does not pass. */
const liveRate = async (scenario: Scenario): Promise<number> => {
  const { result } = await runLiveScenario(scenario, { seed: 1 });
  if (result.verdict !== 'pass') throw new Error(`live, ${result.protocol}: ${result.verdict}: ${result.reason}`);
  return result.rate.writesPerSecond;
};

const figure = (protocol: string, target: number) => async (): Promise<Figure> => {
  const scenario = loadScenario('live', { mode: 'live', protocol, duration: `${MS}ms` });
  // The same time for both to compile what is hot.
  const warmUpMs = warmUpOf(buildSpec(scenario, 1).spec);
  const before = await naiveBroadcast(NODES, IN_FLIGHT, warmUpMs, MS);
  const rate = await liveRate(scenario);
  const after = await naiveBroadcast(NODES, IN_FLIGHT, warmUpMs, MS);
  const naive = (before + after) / 2;
  return {
    name: `live ${protocol}`,
    value: `${Math.round(rate).toLocaleString('en')} writes/s, ${(rate / naive).toFixed(1)} × naive`,
    target: `${target.toLocaleString('en')}/s`,
    note: `${NODES} nodes, ${IN_FLIGHT} in flight; after ${warmUpMs} ms not counted; naive postMessage broadcast ${Math.round(before).toLocaleString('en')} before and ${Math.round(after).toLocaleString('en')} after`,
  };
};

/** Writes a second on threads that race, beside the same with postMessage in the same run. */
export const liveDirect: () => Promise<Figure> = figure('direct', 200_000);
export const liveAck: () => Promise<Figure> = figure('ack', 50_000);
