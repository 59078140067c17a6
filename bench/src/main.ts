import { availableParallelism, cpus } from 'node:os';
import { eventBound } from './event-bound.ts';
import { eventQueue } from './event-queue.ts';
import { fetchBound } from './fetch-bound.ts';
import { huntSpeed } from './hunt-speed.ts';
import { liveAck, liveDirect } from './live.ts';
import { stage2Walk } from './stage2-walk.ts';
import { tlbHit } from './tlb-hit.ts';

console.log(`node ${process.version}, ${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown processor'}\n`);
for (const measure of [fetchBound, eventBound, huntSpeed, stage2Walk, tlbHit, eventQueue, liveDirect, liveAck]) {
  const { name, value, target, note } = await measure();
  const aim = target === undefined ? '' : ` (target ${target})`;
  console.log(`${name.padEnd(16)} ${`${value}${aim}`.padStart(34)}   ${note}`);
}
