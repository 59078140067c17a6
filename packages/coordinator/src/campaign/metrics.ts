import { createServer, type Server } from 'node:http';
import { InputError } from '@numalab/base';
import type { Logger } from 'pino';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { CampaignProgress } from './campaign.ts';
import type { LeaseOutcome } from './lease.ts';

/** What a campaign or a worker counts, for Prometheus. */
export class CampaignMetrics {
  readonly registry: Registry = new Registry();
  private readonly runs: Counter;
  private readonly failures: Counter;
  private readonly faults: Counter;
  private readonly leases: Counter;
  private readonly cpu: Counter;
  private readonly requested: Gauge;
  private readonly done: Gauge;
  private readonly slots: Gauge;

  constructor() {
    const registers = [this.registry];
    const counter = (name: string, help: string, labelNames: string[] = []): Counter =>
      new Counter({ name: `numalab_${name}`, help, labelNames, registers });
    const gauge = (name: string, help: string): Gauge => new Gauge({ name: `numalab_${name}`, help, registers });
    collectDefaultMetrics({ register: this.registry });
    this.runs = counter('runs_total', 'Runs, by verdict', ['verdict']);
    this.failures = counter('failures_total', 'Failed runs, by the rule that was broken', ['invariant']);
    this.faults = counter('faults_fired_total', 'Faults that fired, by kind', ['kind']);
    this.leases = counter('leases_total', 'Leases that were run');
    this.cpu = counter('cpu_seconds_total', 'Processor time of leases');
    this.requested = gauge('campaign_runs_requested', 'Runs that the campaign asks for');
    this.done = gauge('campaign_runs_done', 'Runs that are counted, those of earlier sessions included');
    this.slots = gauge('campaign_slots', 'Leases that can be under way');
  }

  /** A lease was run. */
  count({ tally, cpuMs }: LeaseOutcome): void {
    for (const [verdict, count] of Object.entries(tally.runs)) {
      if (verdict !== 'total' && count > 0) this.runs.inc({ verdict }, count);
    }
    for (const { invariant, count } of tally.failures) this.failures.inc({ invariant }, count);
    for (const [kind, count] of Object.entries(tally.faultsFired)) this.faults.inc({ kind }, count);
    this.leases.inc();
    this.cpu.inc(cpuMs / 1000);
  }

  /** How far the campaign is. */
  progress({ done, requested, slots }: CampaignProgress): void {
    this.done.set(done);
    this.requested.set(requested);
    this.slots.set(slots);
  }
}

/**
 * Serves metrics as text at `/metrics`; null without a port. Port 0 takes a free one; the log says which. Throws InputError if
 * the address cannot be had.
 */
export const serveMetrics = async (
  registry: Registry,
  host: string,
  port: number | undefined,
  log: Logger,
): Promise<Server | null> => {
  if (port === undefined) return null;
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    registry.metrics().then(
      (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
      () => response.writeHead(500).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', ({ code }: NodeJS.ErrnoException) =>
      reject(new InputError('--metrics-port', `${host}:${port} cannot be listened on (${code})`)),
    );
    server.listen(port, host, resolve);
  });
  server.unref();
  log.info({ address: server.address() }, 'metrics are served');
  return server;
};
