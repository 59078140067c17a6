import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { assert } from '@numalab/base';
import { FrameReader, FrameWriter, type Message } from '@numalab/interconnect';
import type { ClusterTask } from '../thread-task.ts';

/** Another process of the operating system is gone: the run cannot go on, and somebody else knows why. */
export class LinkLost extends Error {
  override readonly name = 'LinkLost';
}

const LENGTH_BYTES = 4;

/** The Unix domain socket on which a member waits for the members after it. */
const socketPath = (folder: string, member: number): string => join(folder, String(member));

/** One end of the connection to another member. */
class MemberLink {
  readonly writer: FrameWriter = new FrameWriter();
  readonly reader: FrameReader = new FrameReader();
  /** Whole frames that have arrived: that of this exchange, and at most that of the next. */
  readonly frames: Uint8Array[] = [];
  readonly socket: Socket;
  isLost = false;
  private pieces: Buffer[] = [];
  private pieceBytes = 0;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  send(frame: Uint8Array): void {
    const { socket } = this;
    const length = Buffer.allocUnsafe(LENGTH_BYTES);
    length.writeUInt32LE(frame.length);
    // One system call for both.
    socket.cork();
    socket.write(length);
    socket.write(frame);
    socket.uncork();
  }

  /** Takes bytes as they come in. */
  take(piece: Buffer): void {
    this.pieces.push(piece);
    this.pieceBytes += piece.length;
    while (this.pieceBytes >= LENGTH_BYTES) {
      const first = this.pieces[0]!;
      const bytes = first.length >= LENGTH_BYTES ? first : this.join();
      const end = LENGTH_BYTES + bytes.readUInt32LE(0);
      if (this.pieceBytes < end) return;
      const whole = bytes.length >= end ? bytes : this.join();
      this.frames.push(whole.subarray(LENGTH_BYTES, end));
      this.pieceBytes -= end;
      if (whole.length > end) this.pieces[0] = whole.subarray(end);
      else this.pieces.shift();
    }
  }

  private join(): Buffer {
    const joined = Buffer.concat(this.pieces);
    this.pieces = [joined];
    return joined;
  }
}

const listen = async (path: string): Promise<Server> => {
  const server = createServer();
  server.listen(path);
  await once(server, 'listening');
  return server;
};

/** Connections of those that come after this member: each says first who it is, in one byte. */
const acceptFrom = async (server: Server, count: number, links: (MemberLink | null)[]): Promise<void> => {
  if (count === 0) return;
  await new Promise<void>((resolve, reject) => {
    let missing = count;
    const fail = (): void => reject(new LinkLost('a connection was lost before it was used'));
    server.on('error', fail);
    server.on('connection', (socket) => {
      socket.once('error', fail);
      socket.once('data', (data: Buffer) => {
        socket.pause();
        links[data[0]!] = new MemberLink(socket);
        // Frames may have come along.
        if (data.length > 1) socket.unshift(data.subarray(1));
        if (--missing === 0) resolve();
      });
    });
  });
};

const connectTo = async (path: string, member: number): Promise<Socket> => {
  const socket = connect(path);
  await once(socket, 'connect').catch(() => {
    throw new LinkLost(`process ${member} cannot connect to ${path}`);
  });
  socket.write(Uint8Array.of(member));
  return socket;
};

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

  private constructor(task: ClusterTask, links: readonly (MemberLink | null)[]) {
    this.task = task;
    this.links = links;
    this.nexts = new Float64Array(task.members).fill(Infinity);
    this.sent = new Float64Array(task.members).fill(Infinity);
    for (const link of links) if (link !== null) this.watch(link);
  }

  /** Connects a member to all others. */
  static async open(task: ClusterTask): Promise<MemberLinks> {
    const { member, members, folder, port } = task;
    assert(port !== null, 'the member’s first thread connects');
    const links: (MemberLink | null)[] = Array.from({ length: members }, () => null);
    const server = await listen(socketPath(folder, member));
    const accepted = acceptFrom(server, members - 1 - member, links);
    // It is awaited only below, and may fail before.
    accepted.catch(() => {});
    port.postMessage('listening');
    // Nobody can connect before all are there.
    await once(port, 'message');
    port.close();
    for (let to = 0; to < member; to++) links[to] = new MemberLink(await connectTo(socketPath(folder, to), member));
    await accepted;
    server.close();
    return new MemberLinks(task, links);
  }

  private watch(link: MemberLink): void {
    const { socket } = link;
    const lose = (): void => {
      link.isLost = true;
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
      if (waiting.some((link) => link?.isLost)) throw new LinkLost('another process is gone');
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
