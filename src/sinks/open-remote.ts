/** From the address of a store on another machine to that store. Kinds are loaded when they are asked for. */
import { ExitStatus, SinkError, UserError } from "../errors.ts";
import type { Remote } from "./remote/remote.ts";
import type { GatheredFrame } from "./store/gathered-frame.ts";
import type { Store } from "./store/store.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** How long it is waited for before the receiver listens, and holds who sends. */
const startMs = 5_000;

export function isAddress(destination: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(destination);
}

/** Throws UserError for what is none, or lacks something. Nothing was asked of it yet. */
export async function openRemote(address: string, env: Environment): Promise<Remote> {
  if (/^s3:/i.test(address)) {
    const [{ bucketOf }, { S3Remote }] = await Promise.all([import("./s3/bucket.ts"), import("./s3/s3-remote.ts")]);
    return new S3Remote(bucketOf(address, env));
  }
  if (/^nats:/i.test(address)) {
    const [{ streamAddressOf }, { JetStreamRemote }] = await Promise.all([
      import("./jetstream/stream-address.ts"),
      import("./jetstream/jetstream-remote.ts"),
    ]);
    return new JetStreamRemote(streamAddressOf(address, env));
  }
  throw new UserError(`${address}: there is no destination of this kind`, [
    "s3://BUCKET/PREFIX and nats://HOST/STREAM are; a directory has no :// in its name",
  ]);
}

export interface RemoteStoreRequest {
  readonly env: Environment;
  readonly layout: string | undefined;
  readonly mustExist: boolean;
  readonly memoryBytesMax: number;
}

/**
 * A store that has proven that it keeps frames single. One that is not there is waited for as any other destination.
 * Throws UserError for one that cannot be used.
 */
export async function openRemoteStore(address: string, request: RemoteStoreRequest): Promise<Store<GatheredFrame>> {
  const { env, layout, mustExist, memoryBytesMax } = request;
  if (layout !== undefined) {
    throw new UserError(`--layout cannot be used with --out ${address}`, [
      "there a frame's key is {device}/{source}/{name}, by which it is known",
    ]);
  }
  const [remote, { RemoteStore }] = await Promise.all([openRemote(address, env), import("./remote/remote-store.ts")]);
  const store = new RemoteStore({ remote, mustExist, memoryBytesMax, sleep: Bun.sleep, random: Math.random });
  try {
    await Promise.race([store.start(), Bun.sleep(startMs)]);
  } catch (error) {
    store.close();
    if (error instanceof SinkError) throw new UserError(error.message, error.hints, ExitStatus.failure);
    throw error;
  }
  return store;
}
