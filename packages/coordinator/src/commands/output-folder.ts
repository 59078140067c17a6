import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { InputError } from '@numalab/base';
import { displayPath } from '../scenario/files.ts';

/** Makes a folder and those around it. `mkdirSync` with `recursive` never returns where nothing can be made, as below /proc. */
const makeFolder = (path: string): void => {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return;
  if (!existsSync(dirname(path))) makeFolder(dirname(path));
  mkdirSync(path);
};

/** A folder that an option names and a command writes to; it is made when this is. */
export class OutputFolder {
  private readonly option: string;
  private readonly path: string;

  /** Makes the folder. Throws InputError naming `option` if the operating system does not let us. */
  constructor(option: string, path: string) {
    this.option = option;
    this.path = path;
    this.attempt(path, () => makeFolder(path));
  }

  /** Writes a file of the folder. Throws InputError like the constructor. */
  write(name: string, content: string | Uint8Array): void {
    const file = join(this.path, name);
    this.attempt(file, () => writeFileSync(file, content));
  }

  /** Throws InputError unless files can be made in the folder, so that a long run does not end in vain. */
  probe(name: string): void {
    this.write(name, '');
  }

  private attempt(file: string, action: () => void): void {
    attempt(this.option, file, action);
  }
}

const attempt = (option: string, file: string, action: () => void): void => {
  try {
    action();
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (syscall === undefined) throw error;
    throw new InputError(option, `${displayPath(file)} cannot be written to (${code})`);
  }
};

/** Writes a file that `option` names. Throws InputError if the operating system does not let us. */
export const writeOutputFile = (option: string, path: string, content: string): void =>
  attempt(option, path, () => writeFileSync(path, content));
