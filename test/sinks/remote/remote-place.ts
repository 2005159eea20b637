/** A place for the suite of sinks in a store on another machine, and the levers that its tests pull. */
import { SinkError } from "../../../src/errors.ts";
import { decodeLedger, Ledger } from "../../../src/sinks/remote/ledger.ts";
import type { Remote } from "../../../src/sinks/remote/remote.ts";
import { RemoteStore } from "../../../src/sinks/remote/remote-store.ts";
import { gatheredBytesMax } from "../../../src/sinks/store/gathered-frame.ts";
import type { StoreSink } from "../../../src/sinks/store/store-sink.ts";
import type { GatheredFrame } from "../../../src/sinks/store/gathered-frame.ts";
import { sinkOf, type SinkPlace } from "../suite.ts";

/** Every name of a list. */
export async function namesOf(list: Remote["listFrames"]): Promise<string[]> {
  const names: string[] = [];
  let from: string | undefined;
  do {
    const page = await list(from);
    names.push(...page.names);
    from = page.next;
  } while (from !== undefined);
  return names;
}

/** Pauses are as short as can be: how long they are in earnest is no matter of these tests. */
export function storeOf(remote: Remote, mustExist = false): RemoteStore {
  const sleep = (): Promise<void> => Bun.sleep(1);
  return new RemoteStore({ remote, mustExist, memoryBytesMax: gatheredBytesMax, sleep, random: () => 0.5 });
}

export interface RemotePlaceOptions {
  readonly open: () => Remote;
  readonly bytesAt: (remote: Remote, path: string) => Promise<string>;
  readonly remove: () => void | Promise<void>;
}

export class RemotePlace implements SinkPlace {
  readonly storesEarly = true;
  readonly #options: RemotePlaceOptions;
  readonly #remote: Remote;
  #broken = false;

  constructor(options: RemotePlaceOptions) {
    this.#options = options;
    this.#remote = options.open();
  }

  async open(): Promise<StoreSink<GatheredFrame>> {
    const remote = this.#options.open();
    const { put } = remote;
    remote.put = (path, record, bytes) => {
      if (this.#broken) throw new SinkError("broken for a test", { retryable: true });
      return put.call(remote, path, record, bytes);
    };
    const store = storeOf(remote);
    await store.start();
    return sinkOf(store);
  }

  async stored(): Promise<Map<string, string>> {
    const paths = await namesOf((from) => this.#remote.listFrames(from));
    const contents = paths.map(async (path) => [path, await this.#options.bytesAt(this.#remote, path)] as const);
    return new Map(await Promise.all(contents));
  }

  breakCommits(broken: boolean): void {
    this.#broken = broken;
  }

  /** All ledgers as one. */
  async #ledger(): Promise<Ledger> {
    const all = new Ledger({ device: "", source: "", session: "" });
    for (const key of await namesOf((from) => this.#remote.listRecords(from))) {
      const record = await this.#remote.readRecord(key);
      const part = decodeLedger(record?.text ?? "");
      if (part === undefined) throw new Error(`${key} is no ledger`);
      all.enter(part);
    }
    return all;
  }

  async recordedGaps(): Promise<number> {
    return (await this.#ledger()).gaps.size;
  }

  async recordedStretches(): Promise<number> {
    return (await this.#ledger()).stretches.size;
  }

  async recordedEnds(): Promise<number> {
    return (await this.#ledger()).end === undefined ? 0 : 1;
  }

  async remove(): Promise<void> {
    this.#remote.close();
    await this.#options.remove();
  }
}
