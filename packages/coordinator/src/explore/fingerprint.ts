import { Queue } from '@numalab/base';

/** Numbers for texts: equal texts, and no others, have equal numbers. So nothing that is told apart by them can collide. */
export class Interner<Value = string> {
  private readonly numbers = new Map<string, number>();
  private readonly values: Value[] = [];

  get size(): number {
    return this.values.length;
  }

  /** The number of what `text` stands for; `value` is kept for a new one. */
  number(text: string, value: Value): number {
    const known = this.numbers.get(text);
    if (known !== undefined) return known;
    this.numbers.set(text, this.values.length);
    return this.values.push(value) - 1;
  }

  /** The number of what `text` stands for, if it has one. */
  find(text: string): number | undefined {
    return this.numbers.get(text);
  }

  value(number: number): Value {
    return this.values[number]!;
  }
}

/** Sets and maps of the hypervisor whose order nothing depends on. */
const UNORDERED: ReadonlySet<string> = new Set(['joined', 'missing', 'down', 'catchingUp', 'lastOf', 'changed']);

const sorted = (value: unknown): unknown => {
  if (value instanceof Set) return [...(value as Set<number>)].sort((x, y) => x - y);
  return value instanceof Map ? new Map([...(value as Map<number, unknown>)].sort(([x], [y]) => x - y)) : value;
};

const write = (value: unknown, skip: ReadonlySet<string>, seen: Set<object>, out: string[]): void => {
  if (typeof value === 'function') out.push('f');
  else if (typeof value !== 'object' || value === null) out.push(typeof value === 'string' ? `"${value}"` : `${value}`);
  else if (seen.has(value)) out.push('^');
  else {
    seen.add(value);
    writeObject(value, skip, seen, out);
    seen.delete(value);
  }
};

const writeObject = (value: object, skip: ReadonlySet<string>, seen: Set<object>, out: string[]): void => {
  if (value instanceof Map) {
    out.push('m(');
    for (const [key, entry] of value) {
      write(key, skip, seen, out);
      out.push(':');
      write(entry, skip, seen, out);
      out.push(',');
    }
    out.push(')');
  } else if (Array.isArray(value) || ArrayBuffer.isView(value) || value instanceof Set || value instanceof Queue) {
    out.push('[');
    for (const entry of value as Iterable<unknown>) {
      write(entry, skip, seen, out);
      out.push(',');
    }
    out.push(']');
  } else {
    out.push('{');
    for (const key of Object.keys(value)) {
      if (skip.has(key)) continue;
      out.push(key, ':');
      const entry = (value as Record<string, unknown>)[key];
      write(UNORDERED.has(key) ? sorted(entry) : entry, skip, seen, out);
      out.push(',');
    }
    out.push('}');
  }
};

const NOTHING: ReadonlySet<string> = new Set();

/**
 * The state of an object, and of all that it refers to, as text: every field but those that `skip` names, private ones too, so
 * that a field which is added tomorrow is part of it. What closures and suspended generators hold is not: see `HalfWatch`.
 */
export const fingerprint = (value: unknown, skip: ReadonlySet<string> = NOTHING): string => {
  const out: string[] = [];
  write(value, skip, new Set(), out);
  return out.join('');
};
