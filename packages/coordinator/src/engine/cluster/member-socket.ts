import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { assert } from '@numalab/base';
import type { ClusterTask } from '../thread-task.ts';

/** Another process of the operating system is gone: the run cannot go on, and somebody else knows why. */
export class LinkLost extends Error {
  override readonly name = 'LinkLost';
}

const LENGTH_BYTES = 4;

/** The Unix domain socket on which a member waits for the members after it. */
export const socketPath = (folder: string, member: number): string => join(folder, String(member));

/** One end of the connection to another member. */
export class MemberSocket {
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
const acceptFrom = async (server: Server, count: number, links: (MemberSocket | null)[]): Promise<void> => {
  if (count === 0) return;
  await new Promise<void>((resolve, reject) => {
    let missing = count;
    const fail = (): void => reject(new LinkLost('a connection was lost before it was used'));
    server.on('error', fail);
    server.on('connection', (socket) => {
      socket.once('error', fail);
      socket.once('data', (data: Buffer) => {
        socket.pause();
        links[data[0]!] = new MemberSocket(socket);
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

/** Connects a member to all others: the sockets by member, null for itself. */
export const connectMembers = async ({
  member,
  members,
  folder,
  port,
}: Pick<ClusterTask, 'member' | 'members' | 'folder' | 'port'>): Promise<readonly (MemberSocket | null)[]> => {
  assert(port !== null, 'the member’s first thread connects');
  const links: (MemberSocket | null)[] = Array.from({ length: members }, () => null);
  const server = await listen(socketPath(folder, member));
  const accepted = acceptFrom(server, members - 1 - member, links);
  // It is awaited only below, and may fail before.
  accepted.catch(() => {});
  port.postMessage('listening');
  // Nobody can connect before all are there.
  await once(port, 'message');
  for (let to = 0; to < member; to++) links[to] = new MemberSocket(await connectTo(socketPath(folder, to), member));
  await accepted;
  server.close();
  return links;
};
