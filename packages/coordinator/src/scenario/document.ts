import { InputError } from '@numalab/base';
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseAllDocuments } from 'yaml';

/** A place in a scenario: keys and indices from the top. */
export type FieldPath = readonly (string | number)[];

const MAX_BYTES = 2 ** 20;
/** Enough for anchors that people use, too few for a bomb. */
const MAX_ALIASES = 100;

/** Keys that mean something to JavaScript objects and never to a scenario. */
const isDangerous = (key: unknown): boolean => key === '__proto__' || key === 'constructor' || key === 'prototype';

/** A field as messages name it: kernel.writers.0.kind. Odd keys are quoted and cut. */
export const formatPath = (path: FieldPath): string =>
  path
    .map((part) => (/^[\w+-]{1,60}$/.test(String(part)) ? part : JSON.stringify(String(part).slice(0, 40))))
    .join('.');

const TOO_DEEP = /call stack/;

const firstLine = (message: string): string => (message.split('\n')[0] ?? '').replace(/:$/, '').slice(0, 200);

const decode = (bytes: Uint8Array, where: string): string => {
  if (bytes.length > MAX_BYTES)
    throw new InputError(where, `is ${bytes.length} bytes long; a scenario has at most 1 MiB`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new InputError(where, 'is not a text file (no UTF-8)');
  }
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if ((code < 32 && code !== 9 && code !== 10 && code !== 13) || code === 127) {
      const line = text.slice(0, index).split('\n').length;
      throw new InputError(`${where}:${line}`, `is not a text file (control character ${code})`);
    }
  }
  return text;
};

/** One YAML document, checked to be harmless, with the line of each of its fields. */
export class ScenarioDocument {
  /** How messages name the file or option. */
  readonly where: string;
  /** Plain objects, arrays and scalars. */
  readonly value: unknown;
  private readonly document: Document | undefined;
  private readonly lines = new LineCounter();

  /**
   * Parses `source`. Throws InputError for anything but one document of plain YAML 1.2: bytes that are no text, more than
   * 1 MiB, syntax errors, double keys, unknown tags, several documents, too many aliases or levels.
   */
  constructor(source: Uint8Array | string, where: string) {
    this.where = where;
    const text = decode(typeof source === 'string' ? new TextEncoder().encode(source) : source, where);
    const documents = this.parse(text);
    if (documents.length > 1) throw new InputError(this.at(documents[1]!.range[0]), 'holds several YAML documents');
    this.document = documents[0];
    const problem = this.document?.errors[0] ?? this.document?.warnings[0];
    if (problem !== undefined) throw new InputError(this.at(problem.pos[0]), this.failure(problem));

    this.value = this.toPlain();
  }

  private parse(text: string): Document.Parsed[] {
    try {
      const options = {
        schema: 'core',
        uniqueKeys: true,
        resolveKnownTags: false,
        lineCounter: this.lines,
        prettyErrors: false,
      } as const;
      const documents = parseAllDocuments(text, { ...options, logLevel: 'silent' });
      return Array.isArray(documents) ? documents : [];
    } catch (error) {
      throw new InputError(this.where, this.failure(error));
    }
  }

  private failure(error: unknown): string {
    // The parser recurses once per level, so what it throws here is the end of the stack.
    const message = error instanceof Error ? error.message : String(error);
    return TOO_DEEP.test(message) ? 'is nested too deeply' : `no valid YAML: ${firstLine(message)}`;
  }

  private toPlain(): unknown {
    try {
      return this.document?.toJS({ maxAliasCount: MAX_ALIASES }) ?? null;
    } catch (error) {
      if (error instanceof ReferenceError) throw new InputError(this.where, 'has too many aliases');
      throw new InputError(this.where, this.failure(error));
    }
  }

  private at(offset: number): string {
    return `${this.where}:${this.lines.linePos(offset).line}`;
  }

  private resolve(node: unknown): unknown {
    return isAlias(node) && this.document !== undefined ? node.resolve(this.document) : node;
  }

  /** File and line of a field; of the nearest field around it if it is not there; the file alone if nothing is. */
  locate(path: FieldPath): string {
    let node: unknown = this.document?.contents;
    let offset: number | undefined;
    for (const part of path) {
      node = this.resolve(node);
      let next: Node | null | undefined;
      if (isMap(node)) {
        const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(part));
        if (pair === undefined) break;
        offset = (pair.key as Node).range?.[0] ?? offset;
        next = pair.value as Node | null;
      } else if (isSeq(node)) {
        next = node.items[Number(part)] as Node | undefined;
        if (next === undefined) break;
        offset = next.range?.[0] ?? offset;
      }
      node = next;
    }
    return offset === undefined ? this.where : this.at(offset);
  }
}

/** A value that the command line puts over one of the file. */
export interface Override {
  /** How messages name it: `--set machine.nodes`. */
  readonly label: string;
  readonly path: FieldPath;
  readonly value: unknown;
}

/** A deep copy of plain data, in which nothing appears twice. Throws InputError if it contains itself. */
export const copyPlain = <Value>(value: Value, where: string): Value => {
  try {
    // JSON knows no .nan and .inf and would make them null; as text they are named when they are refused.
    const named = (_: string, part: unknown): unknown =>
      typeof part === 'number' && !Number.isFinite(part) ? String(part) : part;
    return JSON.parse(JSON.stringify(value, named)) as Value;
  } catch {
    throw new InputError(where, 'contains itself through an alias');
  }
};

/** Reads `path=value`, the value being YAML. Throws InputError. */
export const parseOverride = (text: string): Override => {
  const equals = text.indexOf('=');
  const label = `--set ${(equals < 0 ? text : text.slice(0, equals)).slice(0, 80)}`;
  if (equals < 1) throw new InputError(label, 'must be path=value, such as machine.nodes=8');
  const path = text
    .slice(0, equals)
    .split('.')
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
  if (path.some((part) => part === '')) throw new InputError(label, 'has an empty part in its path');
  return { label, path, value: copyPlain(new ScenarioDocument(text.slice(equals + 1), label).value, label) };
};

/** Puts a value into plain data, making the maps and lists on the way. Throws InputError if something else is in its way. */
export const applyOverride = (root: Record<string, unknown>, { label, path, value }: Override): void => {
  let container: Record<string | number, unknown> | unknown[] = root;
  for (const [depth, part] of path.entries()) {
    if (isDangerous(part)) throw new InputError(label, `unknown key ${part}`);
    if (Array.isArray(container) && !(typeof part === 'number' && part <= container.length)) {
      throw new InputError(label, `${formatPath(path.slice(0, depth))} is a list; ${part} is not one of its places`);
    }
    const holder = container as Record<string | number, unknown>;
    if (depth === path.length - 1) {
      holder[part] = value;
      return;
    }
    const present = Object.hasOwn(holder, part) ? holder[part] : undefined;
    const next: unknown = present ?? (typeof path[depth + 1] === 'number' ? [] : {});
    if (typeof next !== 'object' || next === null) {
      throw new InputError(label, `${formatPath(path.slice(0, depth + 1))} has no keys of its own`);
    }
    holder[part] = next;
    container = next as Record<string | number, unknown>;
  }
};
