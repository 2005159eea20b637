/** The channels of an archive: our own three, then one or two of each source. Channel `n` is at place `n - 1`. */
import type { McapTypes } from "@mcap/core";
import { isDeepStrictEqual } from "node:util";
import { assert } from "../../errors.ts";
import type { Origin } from "../../frame.ts";
import {
  channelIdMax,
  type ChannelKind,
  channelRecord,
  ownChannelRecords,
  ownChannels,
  type Schemas,
  schemas,
  type SourceChannel,
  sourceOf,
} from "./format.ts";

/** A channel of a source, known by its number. */
export interface Channel extends SourceChannel {
  readonly id: number;
  /** Time of its newest message. */
  lastTime: bigint | undefined;
}

type Owner = Pick<Origin, "device" | "source">;

/** When channel numbers are used up, all further sources share these. The facts tell whose frame it is. */
const others: Owner = { device: "framepipe", source: "others" };
/** One for pictures, one for the rest. */
const otherChannels = 2;

export class Channels {
  /** What the messages of the channels are described by: in a file that goes on, those that it began with. */
  schemas: Schemas = schemas;
  readonly #records: McapTypes.Channel[] = ownChannelRecords();
  readonly #byId = new Map<number, Channel>();
  readonly #byKey = new Map<string, Channel>();

  /** All of them, also those that are not in the file yet. */
  get records(): readonly McapTypes.Channel[] {
    return this.#records;
  }

  /** The channel for such frames of this source, made if it is new. */
  of(kind: ChannelKind, origin: Owner): Channel {
    const owner = this.#records.length < channelIdMax - otherChannels ? origin : others;
    return this.#find(kind, origin) ?? this.#find(kind, owner) ?? this.#add({ kind, origin: owner });
  }

  topicOf(channel: Channel): string {
    const record = this.#records[channel.id - 1];
    assert(record !== undefined, "every channel has its record");
    return record.topic;
  }

  byId(id: number): Channel | undefined {
    return this.#byId.get(id);
  }

  /** Time of the newest frame of a source. */
  lastTimeOf(origin: Owner): bigint | undefined {
    const [image, other] = [this.#find("image", origin)?.lastTime, this.#find("other", origin)?.lastTime];
    if (image === undefined || other === undefined) return image ?? other;
    return image > other ? image : other;
  }

  /** Takes the next channel of an archive that is read, of which `written` were. False: it is not what was written. */
  restore(record: McapTypes.Channel, written: number): boolean {
    const source = written < ownChannels ? undefined : sourceOf(record);
    const expected = source === undefined ? ownChannelRecords()[written] : channelRecord(written + 1, source);
    if (!isDeepStrictEqual(record, { type: "Channel", ...expected })) return false;
    if (source !== undefined) this.#add(source);
    return true;
  }

  #add(source: SourceChannel): Channel {
    const channel = { ...source, id: this.#records.length + 1, lastTime: undefined };
    this.#records.push(channelRecord(channel.id, source));
    this.#byId.set(channel.id, channel);
    this.#byKey.set(keyOf(source.kind, source.origin), channel);
    return channel;
  }

  #find(kind: ChannelKind, origin: Owner): Channel | undefined {
    return this.#byKey.get(keyOf(kind, origin));
  }
}

function keyOf(kind: ChannelKind, { device, source }: Owner): string {
  return `${kind}\n${device}\n${source}`;
}
