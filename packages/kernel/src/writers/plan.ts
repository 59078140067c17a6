import { collect, InputError, Random } from '@numalab/base';
import { a64, findStoreGadgets, LINE_BYTES, STORE_FORMS, type StoreForm } from '@numalab/machine';
import type { KernelImage } from '../image/index.ts';
import { type ReplicatedRange, SITE_NONE, siteKinds } from '../image/index.ts';
import type { PatchItem, PatchKind, PatchStore, PatchWriter, SyntheticForm, SyntheticWriter } from './writer-spec.ts';

/** A writer as a scenario describes it; times in picoseconds. */
export interface WriterRequest {
  readonly kind: PatchKind | 'synthetic';
  readonly rate: number | 'max';
  readonly at: number | null;
  readonly writes: number | null;
  readonly cpus: readonly number[] | null;
  readonly only?: readonly number[] | null;
  readonly keys?: number | null;
  readonly batch?: number;
  readonly sites?: number | null;
  readonly entries?: number | null;
  readonly toggle?: boolean;
  readonly width?: 1 | 2 | 4 | 8 | 16 | 'mixed';
  readonly forms?: readonly string[];
  readonly inFlight?: number;
  readonly straddle?: 'nothing' | 'line' | 'page';
  readonly sync?: 'none' | 'kick' | 'stop-machine';
}

/** What planning needs to know. */
export interface PlanContext {
  readonly image: KernelImage;
  readonly ranges: readonly ReplicatedRange[];
  readonly vcpus: number;
  /** Of a stage-2 granule. */
  readonly pageBytes: number;
  readonly seed: number;
  /** Names the writer in messages: `kernel.writers.2`. */
  readonly where: string;
  readonly index: number;
}

const PICOSECONDS = 1e12;
const NOP = a64.NOP;
const BRK_KPROBE = a64.brk(4);
/** CALL_OPS literals point at an ftrace_ops: any kernel address will do. */
const OPS_LO = 0x0840_0000;
const OPS_HI = 0xffff_8000;

/** Whether [offset, offset + bytes) lies wholly in copies, not in EL2's own pages nor in ones it shares. */
const isCopied = (ranges: readonly ReplicatedRange[], offset: number, bytes: number): boolean =>
  ranges.some((range) => range.kind === 'replica' && offset >= range.start && offset + bytes <= range.end);

/** A store form that the image's text holds, and where. */
interface FoundForms {
  readonly forms: readonly SyntheticForm[];
  /** Of the forms asked for by name, the first that the text does not hold. */
  readonly missing: string | null;
}

/** What planning finds in an image whatever the seed. */
interface PlanSites {
  readonly ranges: readonly ReplicatedRange[];
  readonly kinds: Uint8Array;
  /** Index of an instruction of each form that the kernel could execute, by its name. */
  readonly gadgets: ReadonlyMap<string, number>;
  /** Patchable places by kind and batch, and forms by what was asked for. */
  readonly places: Map<string, Places>;
  readonly forms: Map<string, FoundForms>;
  /** By what stores: by step of 8 bytes from the start of the text, whether a synthetic writer may write there. */
  readonly free: Map<readonly SyntheticForm[], Uint8Array>;
}

/** Places that a writer of one kind can patch: offsets, or, where several belong together, their stores. */
type Places = readonly number[] | readonly (readonly PatchStore[])[];

/** Instructions that store in copied text. */
const gadgetsOf = (image: KernelImage, ranges: readonly ReplicatedRange[]): Map<string, number> => {
  const { start, end } = image.regions.text!;
  return findStoreGadgets(image.words.subarray(0, end >> 2), start >> 2, (i) => isCopied(ranges, i * 4, 4));
};

/** Images do not change, and many seeds are planned over one: searching its text again for each would take most of the time. */
const sitesOfImage = new WeakMap<KernelImage, PlanSites>();

const planSites = ({ image, ranges }: PlanContext): PlanSites => {
  const known = sitesOfImage.get(image);
  if (known !== undefined && known.ranges === ranges) return known;
  const sites = {
    ranges,
    kinds: siteKinds(image),
    gadgets: gadgetsOf(image, ranges),
    places: new Map(),
    forms: new Map(),
    free: new Map(),
  };
  sitesOfImage.set(image, sites);
  return sites;
};

const remembered = <Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value => {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
};

const shuffled = <Value>(values: readonly Value[], random: Random): Value[] => {
  const out = values.slice();
  for (let i = 0; i < out.length; i++) {
    const j = i + random.below(out.length - i);
    const value = out[j]!;
    out[j] = out[i]!;
    out[i] = value;
  }
  return out;
};

/** The first `count` values of a shuffle; drawing few of many costs what is drawn. */
const drawn = <Value>(values: readonly Value[], count: number, random: Random): Value[] => {
  if (count >= values.length) return shuffled(values, random);
  const out: Value[] = [];
  /** What the shuffle has put where something else lay. */
  const moved = new Map<number, Value>();
  const at = (i: number): Value => moved.get(i) ?? values[i]!;
  for (let i = 0; i < count; i++) {
    const j = i + random.below(values.length - i);
    out.push(at(j));
    moved.set(j, at(i));
  }
  return out;
};

const patch = (offset: number, on: number, off: number, once: boolean): PatchStore => ({
  offset,
  size: 4,
  on: [on],
  off: [off],
  once,
});
const once = (offset: number, on: number, off: number): PatchStore => patch(offset, on, off, true);
const flip = (offset: number, on: number, off: number): PatchStore => patch(offset, on, off, false);

const jumpKeys = ({ image, ranges }: PlanContext, batch: number): PatchStore[][] => {
  const { code, target, key, flags, count } = image.jumpEntries;
  const byKey = new Map<number, PatchStore[]>();
  for (let i = 0; i < count; i++) {
    const at = code[i]!;
    if ((flags[i]! & 2) !== 0 || !isCopied(ranges, at, 4)) continue;
    const built = image.words[at >> 2]!;
    const branch = a64.b(target[i]! - at);
    const store = flip(at, built === NOP ? branch : NOP, built);
    const list = byKey.get(key[i]!);
    if (list === undefined) byKey.set(key[i]!, [store]);
    else if (list.length < batch) list.push(store);
  }
  return [...byKey.values()];
};

const kprobePlaces = (context: PlanContext): number[] => {
  const { image, ranges } = context;
  const { kinds } = planSites(context);
  const usable: number[] = [];
  for (const start of image.functions) {
    // The third instruction: past ftrace's two words, and no other writer's.
    const at = start + 8;
    if (kinds[at >> 2] === SITE_NONE && isCopied(ranges, at, 4)) usable.push(at);
  }
  return usable;
};

const alternatives = ({ image, ranges }: PlanContext): PatchStore[][] => {
  const { orig, replacement, origLength, replacementLength, callback, count } = image.alternatives;
  const usable: PatchStore[][] = [];
  const taken = new Set<number>();
  for (let i = 0; i < count; i++) {
    const bytes = origLength[i]!;
    if (callback[i] !== 0 || replacementLength[i] !== bytes || !isCopied(ranges, orig[i]!, bytes)) continue;
    if (taken.has(orig[i]!)) continue;
    taken.add(orig[i]!);
    const stores: PatchStore[] = [];
    for (let at = 0; at < bytes; at += 4) {
      const from = (orig[i]! + at) >> 2;
      stores.push(flip(orig[i]! + at, image.words[(replacement[i]! + at) >> 2]!, image.words[from]!));
    }
    usable.push(stores);
  }
  return usable;
};

const placesOf = (context: PlanContext, kind: PatchKind, batch: number): Places => {
  const { image, ranges } = context;
  switch (kind) {
    case 'jump-label':
      return jumpKeys(context, batch);
    case 'ftrace':
      return [...image.ftraceSites].filter((site) => isCopied(ranges, site, 8));
    case 'ftrace-literal':
      return [...image.ftraceLiterals].filter((at) => isCopied(ranges, at, 8));
    case 'kprobe':
      return kprobePlaces(context);
    case 'alternatives':
      return alternatives(context);
  }
};

/** What patches one ftrace site: its two words, or, where boot has been here already, only the call. */
const ftraceStores = (image: KernelImage, site: number): PatchStore[] => {
  const movX9X30 = a64.MOV_X9_X30;
  const first = image.words[site >> 2]!;
  const second = image.words[(site >> 2) + 1]!;
  const call = a64.bl(image.functions[0]! - (site + 4));
  if (first === movX9X30) return [flip(site + 4, call, second)];
  return [once(site, movX9X30, first), flip(site + 4, call, second)];
};

const literalStore = (image: KernelImage, offset: number, i: number): PatchStore => ({
  offset,
  size: 8,
  on: [OPS_LO + 64 * (i + 1), OPS_HI],
  off: [image.words[offset >> 2]!, image.words[(offset >> 2) + 1]!],
  once: false,
});

const batched = (sites: readonly number[], batch: number): number[][] => {
  const batches: number[][] = [];
  for (let i = 0; i < sites.length; i += batch) batches.push(sites.slice(i, i + batch));
  return batches;
};

/**
 * The items of a writer in the order in which they are switched, no more than `request.writes` can reach: every item makes at
 * least one store.
 */
const itemsOf = (
  context: PlanContext,
  request: WriterRequest,
  kind: PatchKind,
  random: Random,
): readonly (readonly PatchStore[])[] => {
  const { image } = context;
  const isFtrace = kind === 'ftrace';
  const batch = request.batch ?? (isFtrace ? 16 : 256);
  const key = kind === 'jump-label' ? `${kind} ${batch}` : kind;
  const places = remembered<string, Places>(planSites(context).places, key, () => placesOf(context, kind, batch));
  const limit = request.keys ?? request.sites ?? request.entries ?? (kind === 'kprobe' ? 64 : Infinity);
  const reached = Math.max(1, request.writes ?? Infinity) * (isFtrace ? batch : 1);
  const chosen = drawn<number | readonly PatchStore[]>(places, Math.min(limit, reached), random);
  if (kind === 'jump-label' || kind === 'alternatives') return chosen as (readonly PatchStore[])[];
  const offsets = chosen as number[];
  if (isFtrace) {
    return collect(batched(offsets, batch), (sites) => sites.flatMap((site) => ftraceStores(image, site)));
  }
  if (kind === 'ftrace-literal') return collect(offsets, (offset, i) => [literalStore(image, offset, i)]);
  return collect(offsets, (at) => [flip(at, BRK_KPROBE, image.words[at >> 2]!)]);
};

/** Actions after which `writes` stores have been made, items being switched in turn; null: never. */
const actionsFor = (items: readonly PatchItem[], request: WriterRequest): number | null => {
  if (request.writes === null) return request.at === null && request.toggle !== false ? null : items.length;
  let stores = 0;
  let actions = 0;
  while (stores < request.writes) {
    const item = items[actions % items.length]!;
    const isFirst = actions < items.length;
    stores += isFirst ? item.stores.length : item.stores.filter((store) => !store.once).length;
    actions++;
  }
  return actions;
};

const onlyOf = ({ only }: WriterRequest): readonly number[] | null =>
  only === undefined || only === null ? null : [...only].sort((x, y) => x - y);

/** The vCPUs that a writer may use. */
const cpusOf = ({ vcpus }: PlanContext, { cpus }: WriterRequest): readonly number[] =>
  cpus ?? Array.from({ length: vcpus }, (_, i) => i);

const interval = (rate: number | 'max'): number => (rate === 'max' ? 0 : Math.round(PICOSECONDS / rate));

/**
 * Plans a writer that toggles patch sites: which, by whom, how often. Throws InputError if the image has none of that kind.
 */
export const planPatchWriter = (context: PlanContext, request: WriterRequest, kind: PatchKind): PatchWriter => {
  const random = new Random(context.seed, 'writer', context.index);
  const lists = itemsOf(context, request, kind, random);
  if (lists.length === 0) throw new InputError(context.where, `this kernel has no place for a writer of kind ${kind}`);
  const order = shuffled(cpusOf(context, request), random);
  const items = collect(lists, (stores, i) => ({ cpu: order[i % order.length]!, stores }));
  const actions = actionsFor(items, request);
  return { kind, items, actions, intervalPs: interval(request.rate), startPs: request.at ?? 0, only: onlyOf(request) };
};

/** What may lie across a boundary: exclusives, atomics and releases must be aligned, and one byte has nothing to lie across. */
const canStraddle = ({ name, bytes }: StoreForm): boolean => bytes > 1 && /^(str|stur|sttr|stp|stnp) /.test(name);

/** Where in a place a store of `form` begins. */
export const placeInside = ({ straddles }: SyntheticWriter, { bytes }: SyntheticForm, random: Random): number =>
  straddles ? 8 - Math.ceil(bytes / 2) : random.below(Math.floor(16 / Math.min(16, bytes))) * bytes;

const formId = (form: StoreForm): string => form.name.replaceAll(' ', '_');

/** The store forms asked for by name, or by width if no name is given, that the text holds. */
const formsOf = (
  context: PlanContext,
  names: readonly string[],
  width: number | 'mixed',
  straddles: boolean,
): FoundForms =>
  remembered(planSites(context).forms, `${width} ${names.join()} ${straddles}`, () => {
    const { image, where } = context;
    const { gadgets } = planSites(context);
    const wanted =
      names.length > 0
        ? names.map((name) => {
            const form = STORE_FORMS.find((candidate) => formId(candidate) === name);
            if (form === undefined) throw new InputError(where, `unknown store form ${name}`);
            if (straddles && !canStraddle(form)) {
              throw new InputError(where, `${form.name} cannot straddle a boundary: it must be aligned, or is a byte`);
            }
            return form;
          })
        : STORE_FORMS.filter((form) => form.bytes <= 16 && (width === 'mixed' || form.bytes === width)).filter(
            (form) => !straddles || canStraddle(form),
          );
    const forms: SyntheticForm[] = [];
    let missing: string | null = null;
    for (const form of wanted) {
      const at = gadgets.get(form.name);
      if (at !== undefined)
        forms.push({ name: formId(form), bytes: form.bytes, gadget: at * 4, word: image.words[at]! });
      else if (names.length > 0) missing ??= form.name;
    }
    return { forms, missing };
  });

/** Plans a writer of distinguishable values. Throws InputError for a form that does not exist or is not in the text. */
export const planSyntheticWriter = (context: PlanContext, request: WriterRequest): SyntheticWriter => {
  const random = new Random(context.seed, 'writer', context.index);
  const width = request.width ?? 4;
  const straddle = request.straddle ?? 'nothing';
  const { forms, missing } = formsOf(context, request.forms ?? [], width, straddle !== 'nothing');
  if (missing !== null) throw new InputError(context.where, `this kernel's text has no instruction of form ${missing}`);
  if (forms.length === 0) throw new InputError(context.where, `this kernel's text has no store of ${width} bytes`);
  const boundary = { nothing: 0, line: LINE_BYTES, page: context.pageBytes }[straddle];
  const places = choosePlaces(context, request.sites ?? 64, forms, random, boundary);
  if (places.length === 0) throw new InputError(context.where, 'this kernel has no place for a synthetic writer');
  const cpus = shuffled(cpusOf(context, request), random);
  const agents: number[] = [];
  for (let i = 0; i < (request.inFlight ?? 1); i++) agents.push(cpus[i % cpus.length]!);
  const actions = request.writes ?? (request.at === null ? null : places.length);
  return {
    kind: 'synthetic',
    forms,
    places,
    straddles: straddle !== 'nothing',
    agents,
    sync: request.sync ?? 'none',
    intervalPs: interval(request.rate) * agents.length,
    startPs: request.at ?? 0,
    actions,
    only: onlyOf(request),
  };
};

/** Places in text that no other writer uses and no gadget stands in: aligned, or, if there is a `boundary`, across one. */
const choosePlaces = (
  context: PlanContext,
  count: number,
  forms: readonly SyntheticForm[],
  random: Random,
  boundary: number,
): number[] => {
  const { image, ranges } = context;
  const { kinds, free: known } = planSites(context);
  const align = Math.max(16, ...forms.map((form) => form.bytes));
  const text = image.regions.text!;
  const places: number[] = [];
  const isFree = (at: number): boolean => {
    for (let i = at; i < at + align; i += 4) if (kinds[i >> 2] !== SITE_NONE) return false;
    return isCopied(ranges, at, align) && !forms.some((form) => form.gadget >= at && form.gadget < at + align);
  };
  const UNKNOWN = 0;
  const FREE = 1;
  const TAKEN = 2;
  const CHOSEN = 3;
  const found = remembered(known, forms, () => new Uint8Array((text.end - text.start) / 8 + 1));
  for (let tries = 0; places.length < count && tries < 1000 * count; tries++) {
    const at = text.start + random.below(text.end - text.start);
    const aligned = boundary > 0 ? at - (at % boundary) - 8 : at - (at % align);
    if (aligned < text.start) continue;
    const step = (aligned - text.start) >> 3;
    if (found[step] === UNKNOWN) found[step] = isFree(aligned) ? FREE : TAKEN;
    if (found[step] !== FREE) continue;
    found[step] = CHOSEN;
    places.push(aligned);
  }
  for (const place of places) found[(place - text.start) >> 3] = FREE;
  return places;
};
