import type { Socket } from 'node:net';
import { assert } from '@numalab/base';
import { FrameReader, FrameWriter, type Message } from '@numalab/interconnect';
import type { ClusterTask } from '../thread-task.ts';
import { connectMembers, LinkLost, type MemberSocket } from './member-socket.ts';

/** The windows' frames over one connection. */
class MemberLink {
  readonly writer: FrameWriter = new FrameWriter();
  readonly reader: FrameReader = new FrameReader();
  readonly connection: MemberSocket;

  constructor(connection: MemberSocket) {
    this.connection = connection;
  }

  get socket(): Socket {
    return this.connection.socket;
  }

  get frames(): Uint8Array[] {
    return this.connection.frames;
  }

  send(frame: Uint8Array): void {
    this.connection.send(frame);
  }

  take(piece: Buffer): void {
    this.connection.take(piece);
  }
}

/**
 * A member's connections to all others, and what it says over them after every window. Everybody sends everybody one frame
 * and waits for theirs, so nobody is ever more than one exchange ahead: what waits in a socket or in memory is bounded by the
 * messages of two windows, and who has not been able to hand over its last frame waits until it has.
 */
export class MemberLinks {
  /** What the last exchange told. When each member acts next, what is on its way to it included; */
  readonly nexts: Float64Array;
  /** the earliest of these; */
  first: number = Infinity;
  /** and whether anybody wants the run to end. */
  isEnding = false;
  private readonly task: ClusterTask;
  /** By member; null: this one. */
  private readonly links: readonly (MemberLink | null)[];
  private readonly sent: Float64Array;
  private exchanges = 0;
  private wake: (() => void) | null = null;

  private constructor(task: ClusterTask, sockets: readonly (MemberSocket | null)[]) {
    const links = sockets.map((socket) => (socket === null ? null : new MemberLink(socket)));
    this.task = task;
    this.links = links;
    this.nexts = new Float64Array(task.members).fill(Infinity);
    this.sent = new Float64Array(task.members).fill(Infinity);
    for (const link of links) if (link !== null) this.watch(link);
  }

  /** Connects a member to all others. */
  static async open(task: ClusterTask): Promise<MemberLinks> {
    const links = await connectMembers(task);
    task.port?.close();
    return new MemberLinks(task, links);
  }

  private watch(link: MemberLink): void {
    const { socket } = link;
    const lose = (): void => {
      link.connection.isLost = true;
      this.wake?.();
    };
    socket.on('error', lose);
    socket.on('close', lose);
    socket.on('end', lose);
    socket.on('drain', () => this.wake?.());
    socket.on('data', (piece: Buffer) => {
      link.take(piece);
      this.wake?.();
    });
    socket.resume();
  }

  /** A message for a process of another member: it goes with the next exchange. */
  put(message: Message): void {
    const to = this.task.memberOf[message.to]!;
    if (message.time < this.sent[to]!) this.sent[to] = message.time;
    this.links[to]!.writer.put(message);
  }

  /**
   * Sends what was put, and takes what the others sent. `next` is when anything happens next on this member. Throws LinkLost
   * if one of the others is gone.
   */
  async exchange(next: number, wantsEnd: boolean, receive: (message: Message) => void): Promise<void> {
    const { links, sent, nexts, task } = this;
    await this.until((link) => !link.socket.writableNeedDrain);
    const header = { exchange: this.exchanges, next, isEnding: wantsEnd, sent: [...sent] };
    for (const link of links) link?.send(link.writer.take(header));
    nexts.fill(Infinity);
    nexts[task.member] = next;
    this.isEnding = wantsEnd;
    this.lower(sent);
    sent.fill(Infinity);
    await this.until((link) => link.frames.length > 0);
    for (const [from, link] of links.entries()) {
      if (link === null) continue;
      const told = link.reader.read(link.frames.shift()!, receive);
      assert(
        told.exchange === this.exchanges,
        `frame ${told.exchange} of member ${from} in exchange ${this.exchanges}`,
      );
      nexts[from] = Math.min(nexts[from]!, told.next);
      if (told.isEnding) this.isEnding = true;
      this.lower(told.sent);
    }
    this.first = Math.min(...nexts);
    this.exchanges++;
  }

  private lower(sent: ArrayLike<number>): void {
    for (let to = 0; to < this.nexts.length; to++) this.nexts[to] = Math.min(this.nexts[to]!, sent[to]!);
  }

  private async until(isReady: (link: MemberLink) => boolean): Promise<void> {
    const { links } = this;
    for (;;) {
      const waiting = links.filter((link) => link !== null && !isReady(link));
      if (waiting.length === 0) return;
      // One that is gone after it has said all is no loss: it was through before the others.
      if (waiting.some((link) => link?.connection.isLost)) throw new LinkLost('another process is gone');
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      this.wake = null;
    }
  }

  /** The run is over: everything said is handed over before the connections end. */
  async end(): Promise<void> {
    await this.until((link) => !link.socket.writableNeedDrain);
    this.abandon();
  }

  /** The run cannot go on here: the others learn it by this. */
  abandon(): void {
    for (const link of this.links) link?.socket.destroy();
  }
}
