/**
 * Asks the Arm CPU of QEMU what a set of stage-2 tables translates to. The tables come as `export-tables` writes them
 * (stage2.json and segment files), are loaded into the memory of QEMU's `virt` machine, and VTTBR_EL2 is pointed at them; each
 * request is one AT S12E1R or AT S12E1W, and the answer is PAR_EL1. Thousands of requests cost one boot of about 0.2 s.
 *
 * Compared are translations and faults. Not compared: attributes and shareability (QEMU ignores most of them), the execute
 * permission (no AT instruction for a fetch exists), TLB behaviour.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildPayload, payloadBytes, RESULT_FILE, RESULT_HEADER_WORDS, RESULT_OK, type Segment } from './payload.ts';

export type { Segment } from './payload.ts';

/** What is asked: the translation of an IPA (below 2^52) for a data read or a data write. */
export interface TranslationRequest {
  readonly ipa: number;
  readonly access: 'read' | 'write';
}

/** Kinds of stage-2 fault, named as `translate` prints them. */
export type FaultKind = 'translation' | 'permission' | 'access-flag' | 'address-size';

/** A byte-exact PA, or a fault and the level at which the walk met it. */
export type Answer = { readonly pa: number } | { readonly fault: FaultKind; readonly level: number };

/** Stage-2 tables in memory and the two registers that name them. */
export interface TableImage {
  readonly vtcr: bigint;
  readonly vttbr: bigint;
  readonly segments: readonly Segment[];
}

/** Everything one boot returned. */
export interface QemuRun {
  readonly answers: Answer[];
  /** ID_AA64MMFR0_EL1, ID_AA64MMFR1_EL1, ID_AA64MMFR2_EL1 of the CPU. */
  readonly idRegisters: readonly bigint[];
}

const QEMU = process.env.NUMALAB_QEMU ?? 'qemu-system-aarch64';
const RAM_BASE = 0x4000_0000;
/** `virt` puts its device tree at the start of RAM; at most this much is taken. */
const DEVICE_TREE_BYTES = 0x20_0000;
const ALIGNMENT = 0x20_0000;
const RUN_LIMIT_MS = 60_000;

/** Why QEMU cannot be asked on this machine, or null if it can. */
export const qemuSkipReason = (): string | null => {
  const probe = spawnSync(QEMU, ['--version'], { encoding: 'utf8' });
  if (probe.error !== undefined) return `${QEMU} cannot be run (${probe.error.message}); install qemu-system-arm`;
  const version = /version (\d+)\.(\d+)/.exec(probe.stdout ?? '');
  if (version === null) return `${QEMU} does not tell its version`;
  // The first release whose CPU `max` has both LPA2 and hardware management of the access flag.
  if (Number(version[1]) * 100 + Number(version[2]) < 702) return `${QEMU} is ${version[0]}, 7.2 is needed`;
  return null;
};

const alignUp = (value: number, size: number): number => Math.ceil(value / size) * size;

const MMU_FAULTS: readonly FaultKind[] = ['address-size', 'translation', 'access-flag', 'permission'];

/** A fault status code, as in ESR_ELx and PAR_EL1.FST, by kind and level. Throws if it is no MMU fault. */
export const decodeFaultStatus = (status: number): Answer => {
  if (status === 0x29) return { fault: 'address-size', level: -1 };
  if (status === 0x2b) return { fault: 'translation', level: -1 };
  const fault = MMU_FAULTS[status >> 2];
  if (fault === undefined) throw new Error(`fault status 0x${status.toString(16)}`);
  return { fault, level: status & 3 };
};

/** Decodes PAR_EL1 as a stage-2 result for `ipa`. Throws if the fault is none that a stage-2 walk of good memory can have. */
export const decodePar = (par: bigint, ipa: number): Answer => {
  if ((par & 1n) === 0n) {
    const frame = Number((par >> 12n) & 0xff_ffff_ffffn) * 4096;
    return { pa: frame + (ipa % 4096) };
  }
  const status = Number((par >> 1n) & 0x3fn);
  const stage2 = ((par >> 9n) & 1n) === 1n;
  if (!stage2) throw new Error(`fault of stage 1 for IPA 0x${ipa.toString(16)}: PAR_EL1 0x${par.toString(16)}`);
  return decodeFaultStatus(status);
};

const encodeRequests = (requests: readonly TranslationRequest[]): BigUint64Array =>
  BigUint64Array.from(requests, ({ ipa, access }) => {
    if (!(Number.isInteger(ipa) && ipa >= 0 && ipa < 2 ** 52)) throw new RangeError(`IPA out of range: ${ipa}`);
    return BigInt(ipa) | (access === 'write' ? 1n << 63n : 0n);
  });

const boot = async (directory: string, ramBytes: number, base: number): Promise<void> => {
  const megabytes = Math.ceil(ramBytes / 2 ** 20);
  const child = spawn(
    QEMU,
    [
      ['-M', 'virt,virtualization=on,gic-version=3,memory-backend=ram'],
      // reserve=off: the RAM of a machine may be far larger than this host's, only touched pages cost anything.
      ['-object', `memory-backend-ram,id=ram,size=${megabytes}M,reserve=off`],
      ['-m', `${megabytes}M`],
      ['-cpu', 'max', '-smp', '1', '-accel', 'tcg,tb-size=32'],
      ['-nodefaults', '-nic', 'none', '-display', 'none', '-serial', 'none', '-monitor', 'none', '-no-reboot'],
      ['-semihosting-config', 'enable=on,target=native'],
      ['-device', `loader,file=payload.bin,addr=0x${base.toString(16)},force-raw=on`],
      ['-device', `loader,addr=0x${base.toString(16)},cpu-num=0`],
    ].flat(),
    { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let log = '';
  child.stdout.on('data', (chunk) => (log += chunk));
  child.stderr.on('data', (chunk) => (log += chunk));
  const timer = setTimeout(() => child.kill('SIGKILL'), RUN_LIMIT_MS);
  try {
    await new Promise<void>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => {
        if (code === 0) resolve();
        else reject(new Error(`${QEMU} ended with ${signal ?? code}: ${log.trim()}`));
      });
    });
  } finally {
    clearTimeout(timer);
  }
};

const readResults = (file: Buffer, requests: readonly TranslationRequest[]): QemuRun => {
  const word = (index: number): bigint => file.readBigUInt64LE(index * 8);
  if (word(0) !== RESULT_OK) {
    const [vector, esr, elr, far] = [0, 1, 2, 3].map((i) => `0x${word(i).toString(16)}`);
    throw new Error(`exception at EL2: vector ${vector}, ESR ${esr}, ELR ${elr}, FAR ${far}`);
  }
  return {
    answers: requests.map(({ ipa }, i) => decodePar(word(RESULT_HEADER_WORDS + i), ipa)),
    idRegisters: [word(5), word(6), word(7)],
  };
};

/** Boots QEMU once and returns its answer to each request, in order. */
export const translateImageInQemu = async (
  image: TableImage,
  requests: readonly TranslationRequest[],
): Promise<QemuRun> => {
  const input = { ...image, requests: encodeRequests(requests) };
  const below = image.segments.find(({ pa }) => pa < RAM_BASE);
  if (below !== undefined) throw new Error(`segment at 0x${below.pa.toString(16)} lies below the RAM of virt`);
  // The payload goes behind every segment, so it can collide with none; memory in between is never touched.
  const segmentsEnd = image.segments.reduce((end, { pa, bytes }) => Math.max(end, pa + bytes.length), 0);
  const base = alignUp(Math.max(segmentsEnd, RAM_BASE + DEVICE_TREE_BYTES), ALIGNMENT);
  const ramBytes = alignUp(base + payloadBytes(input), ALIGNMENT) - RAM_BASE;
  const directory = await mkdtemp(join(tmpdir(), 'numalab-qemu-'));
  try {
    await writeFile(join(directory, 'payload.bin'), buildPayload(input, base));
    await boot(directory, ramBytes, base);
    return readResults(await readFile(join(directory, RESULT_FILE)), requests);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
};

/** The content of stage2.json. */
export interface ExportedTables {
  readonly vtcr_el2: string;
  readonly vttbr_el2: string;
  readonly granule: '4K' | '16K' | '64K';
  readonly ipaBits: number;
  readonly lpa2: boolean;
  readonly segments: readonly { readonly pa: string; readonly file: string; readonly bytes: number }[];
}

/** Reads a directory written by `export-tables`. Throws if a segment file has not the size that stage2.json gives. */
export const readExportedTables = async (directory: string): Promise<{ json: ExportedTables; image: TableImage }> => {
  const json = JSON.parse(await readFile(join(directory, 'stage2.json'), 'utf8')) as ExportedTables;
  const segments: Segment[] = [];
  for (const { pa, file, bytes } of json.segments) {
    const content = new Uint8Array(await readFile(join(directory, file)));
    if (content.length !== bytes) throw new Error(`${file} has ${content.length} bytes, stage2.json says ${bytes}`);
    segments.push({ pa: Number(BigInt(pa)), bytes: content });
  }
  return { json, image: { vtcr: BigInt(json.vtcr_el2), vttbr: BigInt(json.vttbr_el2), segments } };
};

/** QEMU's answers for the tables in a directory written by `export-tables`. */
export const translateInQemu = async (
  directory: string,
  requests: readonly TranslationRequest[],
): Promise<Answer[]> => {
  const { image } = await readExportedTables(directory);
  return (await translateImageInQemu(image, requests)).answers;
};
