import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { MemberSocket, socketPath } from '../../engine/cluster/member-socket.ts';
import type { LiveSpread } from './cluster-task.ts';

/** What a process says first on a connection: its place, and its life there. */
const INTRODUCTION_BYTES = 2;

/** What a process does about its connections. */
export interface LinkEvents {
  /** There is a connection; `life` is that of the process at the other end if that has connected, else 0. */
  readonly joined: (member: number, life: number) => void;
  readonly lost: (member: number) => void;
  /** Something has come in, or there is room again for what goes out. */
  readonly heard: () => void;
}

/**
 * The connections of one process of a live run. It can be connected to as long as the run lasts, because who takes the place
 * of a process that is gone connects to all others.
 */
export class LiveLinks {
  /** By process; null: it is this one, or not there. */
  readonly all: (MemberSocket | null)[];
  private readonly spread: LiveSpread;
  private readonly server = createServer();
  private readonly events: LinkEvents;

  constructor(spread: LiveSpread, events: LinkEvents) {
    this.spread = spread;
    this.events = events;
    this.all = Array.from({ length: spread.members }, () => null);
  }

  async listen(): Promise<void> {
    const { folder, member } = this.spread;
    const path = socketPath(folder, member);
    // A process that was killed has left its own there.
    rmSync(path, { force: true });
    this.server.on('connection', (socket) => this.accept(socket));
    this.server.listen(path);
    await once(this.server, 'listening');
  }

  private accept(socket: Socket): void {
    // Who is gone before it has said who it is, was nobody.
    socket.on('error', () => {});
    socket.once('data', (data: Buffer) => {
      socket.pause();
      // Frames may have come along.
      if (data.length > INTRODUCTION_BYTES) socket.unshift(data.subarray(INTRODUCTION_BYTES));
      this.add(data[0]!, socket, data[1]!);
    });
  }

  /** Connects to those before it; to all if it takes another's place. What is not there it does without. */
  async connect(): Promise<void> {
    const { folder, member, members, life } = this.spread;
    for (let other = 0; other < (life > 1 ? members : member); other++) {
      if (other === member) continue;
      const socket = connect(socketPath(folder, other));
      try {
        await once(socket, 'connect');
      } catch {
        continue;
      }
      socket.write(Uint8Array.of(member, life));
      this.add(other, socket, 0);
    }
  }

  private add(member: number, socket: Socket, life: number): void {
    const link = new MemberSocket(socket);
    const { joined, lost, heard } = this.events;
    // Not of one that takes its place.
    const lose = (): void => {
      if (this.all[member] === link) lost(member);
    };
    this.all[member] = link;
    socket.on('error', lose);
    socket.on('close', lose);
    socket.on('end', lose);
    socket.on('drain', heard);
    socket.on('data', (piece: Buffer) => {
      link.take(piece);
      heard();
    });
    socket.resume();
    joined(member, life);
  }

  /** Those that are there. */
  get present(): number[] {
    return this.all.flatMap((link, member) => (link === null ? [] : [member]));
  }

  /** Nothing more comes from `member`, and nothing goes there. */
  drop(member: number): void {
    this.all[member]?.socket.destroy();
    this.all[member] = null;
  }

  close(): void {
    this.server.close();
    for (const link of this.all) link?.socket.destroy();
  }
}
