import { join } from 'node:path';
import { assert, InputError } from '@numalab/base';
import { causeOf } from '../campaign/cause.ts';
import { readRunFolder, runIntoFolder, TRACE } from '../hunt/run-folder.ts';
import { parseScenario, scenarioYaml } from '../scenario/index.ts';
import { type Shrunk, shrink } from '../shrink/shrink.ts';
import { decisionText, storyOf } from '../shrink/story.ts';
import { type CommandContext, EXIT_INTERRUPTED, EXIT_PASS } from './context.ts';
import { OutputFolder } from './output-folder.ts';
import { shrinkProgressLine } from './shrink-progress.ts';

/** Options of `shrink`. */
export interface ShrinkCommandOptions {
  readonly out?: string;
  readonly jobs?: number;
  readonly seconds: number;
  readonly json: boolean;
  readonly quiet: boolean;
}

/** Writes the smallest run down, and runs what was written as `run` would: it must fail in the same way. */
const verified = async (shrunk: Shrunk, out: string): Promise<string> => {
  const { seed, cause } = shrunk;
  const scenario = parseScenario(scenarioYaml(shrunk.scenario), {}, join(out, 'scenario.yaml'));
  const { violations, reason } = await runIntoFolder('--out', out, scenario, seed);
  const broken = violations.find(({ id }) => !scenario.checks.expect.includes(id));
  const found = causeOf(broken?.id ?? 'expect', broken?.message ?? reason);
  assert(found === cause, `the smallest run, run again, gives ${found} instead of ${cause}`);
  return join(out, TRACE);
};

/** `shrink DIR`: the smallest run that fails like that of a folder. Returns the exit code; throws InputError. */
export const shrinkCommand = async (
  path: string,
  options: ShrinkCommandOptions,
  context: CommandContext,
): Promise<number> => {
  const { signal } = context;
  const { record, scenario } = readRunFolder(path);
  if (record.verdict !== 'fail') {
    throw new InputError(path, `its run did not fail (${record.verdict}): there is nothing to shrink`);
  }
  const out = options.out ?? join(path, 'smallest');
  const folder = new OutputFolder('--out', out);
  folder.probe('story.txt');
  const line = shrinkProgressLine(context, options.quiet);
  const started = performance.now();
  const shrunk = await shrink(scenario, {
    seed: record.seed,
    seconds: options.seconds,
    ...(options.jobs === undefined ? {} : { jobs: options.jobs }),
    signal,
    progress: (progress) => line.update(progress),
  });
  line.end();
  const wallMs = Math.round(performance.now() - started);
  const story = storyOf(shrunk, await verified(shrunk, out));
  const replay = `numalab run ${join(out, 'scenario.yaml')} --seed ${shrunk.seed}`;
  folder.write('story.txt', `${story.join('\n')}\n`);
  const code = context.interrupted ? EXIT_INTERRUPTED : EXIT_PASS;
  context.setExitCode(code);
  if (options.json) {
    const { scenario: _, necessity, ...rest } = shrunk;
    const without = necessity.map(({ decision, verdict, cause }) => ({
      ...decision,
      text: decisionText(decision, shrunk.scenario),
      without: { verdict, cause },
      necessary: cause !== shrunk.cause,
    }));
    context.printJson({
      ...rest,
      invariant: shrunk.cause.split(':', 1)[0],
      folder: out,
      file: join(out, 'scenario.yaml'),
      replay,
      wallMs,
      necessity: without,
      story,
    });
  } else if (options.quiet) context.print(replay);
  else
    context.print(
      ...story,
      '',
      `${shrunk.trials} runs in ${(wallMs / 1000).toFixed(1)} s; written to ${out}, and run again from there:`,
      `    ${replay}`,
    );
  return code;
};
