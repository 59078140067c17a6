export { HypervisorCrash } from './crashes.ts';
export { HypervisorProcess, type MakeSessions } from './hypervisor.ts';
export { FaultyLiveHypervisor, type NodeWay } from './live/faulty-live-hypervisor.ts';
export { LiveHypervisor, type LiveHypervisorPorts } from './live/live-hypervisor.ts';
export { type LiveEntry, LiveOrder } from './live/live-order.ts';
export { type JournalEntry, Order } from './order.ts';
export { type HostPort, ProtocolHost } from './protocol-host.ts';
export { type HypervisorReport, hypervisorReportOf } from './report.ts';
export { type ResolvedWrite, resolveWrite } from './resolve-write.ts';
