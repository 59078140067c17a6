export { HypervisorProcess } from './hypervisor.ts';
export { type JournalEntry, Order } from './order.ts';
export { type HypervisorReport, hypervisorReportOf } from './report.ts';
export { type ResolvedWrite, resolveWrite } from './resolve-write.ts';
