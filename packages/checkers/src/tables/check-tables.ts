/**
 * The stage-2 tables of all nodes, judged against what they are for.
 *
 * Verifies T1 (with table-view.ts): tables are well-formed; table pages belong to EL2, are reachable once, and are mapped
 * for no host. T2: every valid leaf of the replicated range is not writable, has DBM=0, and maps the copy that its protocol
 * designates. T3: what EL2 owns (pools, table pages, replicas at their own address, holes) is annotated in all tables; the
 * only leaves onto a replica are its node's text addresses. T6: outside the range, what is populated agrees across nodes;
 * all have the same VMID, and CnP=0 while roots differ. M1, where pool figures are given: pages in use are reachable.
 *
 * When: at any moment at which no break-before-make is under way. Does not verify what TLBs hold (T5), the order in which
 * entries were changed (T4), or that anything is populated at all: laziness is legal. Time is that of reading all entries
 * once; everything after works on ranges.
 */
import { hex } from '@numalab/base';
import { stage2Attributes, unpackStage2Attributes } from '@numalab/machine';
import { Findings, type TableFinding } from './finding.ts';
import { type AddressRange, forEachGap, forEachOverlap, mergeRanges } from './ranges.ts';
import { type NodeTables, type TableRun, TableView } from './table-view.ts';

/** Input addresses [start, end) and the output address of the first. */
export interface DesignatedCopy extends AddressRange {
  readonly pa: number;
}

/** What EL2 owns, by its physical address, which is also the IPA under which the host would see it. */
export interface DonatedRange extends AddressRange {
  /** `pool`, `replica of node 2`, `hole` and the like, for messages. */
  readonly what: string;
}

/** A copy of the text other than the primary. */
export interface ReplicaRange extends AddressRange {
  readonly node: number;
}

/** The tables and what they should say. Every list of ranges is disjoint; order does not matter. */
export interface TableExpectations {
  readonly nodes: readonly NodeTables[];
  /** The replicated range: all IPAs with a rule of their own, holes excepted. */
  readonly text: readonly AddressRange[];
  /** Per node (by its place in `nodes`): what a valid leaf of the range may map now. Must lie inside `text`. */
  readonly designated: readonly (readonly DesignatedCopy[])[];
  readonly replicas: readonly ReplicaRange[];
  readonly donated: readonly DonatedRange[];
}

const WRITABLE = stage2Attributes({ read: false, write: true, execute: 'all', memAttr: 0, sh: 0, af: false });
const DBM = stage2Attributes({ read: false, write: false, execute: 'all', memAttr: 0, sh: 0, af: false, dbm: true });

const byStart = <Range extends AddressRange>(ranges: readonly Range[]): Range[] =>
  [...ranges].sort((a, b) => a.start - b.start);

const describeAttrs = (attrs: number): string => {
  const { read, write, execute, memAttr } = unpackStage2Attributes(attrs);
  return `${read ? 'R' : '-'}${write ? 'W' : '-'} execute=${execute} MemAttr=${hex(memAttr)}`;
};

/** T1: no leaf of any node maps a table page of any node. */
const checkTablePages = (views: readonly TableView[], findings: Findings): void => {
  const pages: AddressRange[] = [];
  for (const { pages: own, tables } of views) {
    for (const start of own) pages.push({ start, end: start + tables.config.granule.bytes });
  }
  const merged = mergeRanges(pages);
  for (const { mapped, tables } of views) {
    for (const run of mapped) {
      forEachOverlap(merged, run.pa, run.pa + run.end - run.start, (_pages, from) => {
        const ipa = run.start + from - run.pa;
        findings.add('T1', 'table-page-mapped', tables.node, ipa, `table page ${hex(from)} is mapped for the host`);
      });
    }
  }
};

/** T2. */
const checkText = (
  view: TableView,
  text: readonly AddressRange[],
  copies: readonly DesignatedCopy[],
  findings: Findings,
): void => {
  const { node } = view.tables;
  for (const { start, end } of text) {
    forEachOverlap(view.mapped, start, end, (run, from, to) => {
      if ((run.attrs & WRITABLE) !== 0)
        findings.add('T2', 'text-writable', node, from, 'a leaf of the replicated range is writable');
      if ((run.attrs & DBM) !== 0)
        findings.add('T2', 'text-dbm', node, from, 'a leaf of the replicated range has DBM=1');
      forEachOverlap(copies, from, to, (copy, at) => {
        const wanted = copy.pa + at - copy.start;
        const found = run.pa + at - run.start;
        if (wanted === found) return;
        findings.add('T2', 'wrong-copy', node, at, `maps ${hex(found)}, the designated copy is at ${hex(wanted)}`);
      });
      forEachGap(copies, from, to, (at) => {
        findings.add(
          'T2',
          'not-designated',
          node,
          at,
          `maps ${hex(run.pa + at - run.start)} where no copy is designated`,
        );
      });
    });
  }
};

/** T3, for one node. */
const checkOwnership = (
  view: TableView,
  expected: TableExpectations,
  text: readonly AddressRange[],
  findings: Findings,
): void => {
  const { node } = view.tables;
  for (const { start, end, what } of expected.donated) {
    forEachGap(view.annotated, start, end, (from, to) => {
      findings.add('T3', 'not-annotated', node, from, `${hex(to - from)} bytes of ${what} are not annotated`);
    });
  }
  const replicas = byStart(expected.replicas);
  for (const run of view.mapped) {
    forEachOverlap(replicas, run.pa, run.pa + run.end - run.start, (replica, from, to) => {
      const ipa = run.start + from - run.pa;
      if (replica.node !== node) {
        findings.add('T3', 'foreign-replica', node, ipa, `maps the replica of node ${replica.node} at ${hex(from)}`);
        return;
      }
      forEachGap(text, ipa, ipa + to - from, (at) => {
        findings.add(
          'T3',
          'replica-alias',
          node,
          at,
          `maps the replica at ${hex(run.pa + at - run.start)} outside the text`,
        );
      });
    });
  }
};

/** Adds the parts of `run` that `known` does not cover yet; reports where the two disagree. */
const agree = (
  known: TableRun[],
  run: TableRun,
  from: number,
  to: number,
  report: (ipa: number, other: TableRun) => void,
): TableRun[] => {
  const added: TableRun[] = [];
  forEachOverlap(known, from, to, (other, at) => {
    if (other.attrs !== run.attrs || other.pa - other.start !== run.pa - run.start) report(at, other);
  });
  forEachGap(known, from, to, (start, end) => {
    added.push({ start, end, pa: run.pa + start - run.start, attrs: run.attrs, owner: 0 });
  });
  return added;
};

/** T6: leaves outside the text agree with the first node that has any there. */
const checkAgreement = (views: readonly TableView[], text: readonly AddressRange[], findings: Findings): void => {
  let known: TableRun[] = [];
  for (const { mapped, tables } of views) {
    const added: TableRun[] = [];
    for (const run of mapped) {
      forEachGap(text, run.start, run.end, (from, to) => {
        const fresh = agree(known, run, from, to, (ipa, other) => {
          const found = `${hex(run.pa + ipa - run.start)} ${describeAttrs(run.attrs)}`;
          const wanted = `${hex(other.pa + ipa - other.start)} ${describeAttrs(other.attrs)}`;
          findings.add('T6', 'nodes-disagree', tables.node, ipa, `maps ${found}, another node ${wanted}`);
        });
        for (const piece of fresh) added.push(piece);
      });
    }
    if (added.length > 0) known = byStart([...known, ...added]);
  }
};

/** T6: translations that nodes share no tables for are not shared, and what EL1 invalidates is invalidated on all nodes. */
const checkRegisters = (nodes: readonly NodeTables[], findings: Findings): void => {
  const vmid = nodes[0]?.config.vmid;
  for (const { node, config } of nodes) {
    if (config.vmid === vmid) continue;
    const text = `VMID ${config.vmid}, where node ${nodes[0]!.node} has ${vmid}: TLBIs of EL1 carry the VMID of their own node alone`;
    findings.add('T6', 'vmid', node, -1, text);
  }
  if (nodes.every(({ config }) => config.rootPa === nodes[0]!.config.rootPa)) return;
  for (const { node, config } of nodes) {
    if (config.cnp) findings.add('T6', 'cnp', node, -1, 'VTTBR_EL2.CnP is set although the nodes have different roots');
  }
};

/** Checks all nodes' tables and returns what is wrong: nothing if all is well. */
export const checkTables = (expected: TableExpectations): TableFinding[] => {
  const findings = new Findings();
  const reached = new Map<number, number>();
  const views = expected.nodes.map((tables) => new TableView(tables, findings, reached));
  const text = mergeRanges(expected.text);
  checkTablePages(views, findings);
  views.forEach((view, index) => {
    checkText(view, text, byStart(expected.designated[index] ?? []), findings);
    checkOwnership(view, expected, text, findings);
  });
  checkAgreement(views, text, findings);
  checkRegisters(expected.nodes, findings);
  return findings.list;
};
