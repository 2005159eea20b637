/**
 * Files through a JetStream stream, by its client as its documentation shows it.
 *
 *     bun scripts/bench/bare/jetstream.ts receive PORT DIR COUNT    says "ready", and "stored" when all are
 *     bun scripts/bench/bare/jetstream.ts send PORT DIR
 */
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, headers } from "@nats-io/transport-node";
import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";

const stream = "frames";
const subject = "frames.one";
/** Frames published and not yet acknowledged. */
const windowFrames = 256;

const [role, port, directory = "", count] = process.argv.slice(2);
const connection = await connect({ servers: `127.0.0.1:${port}` });

async function receive(): Promise<void> {
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: stream, subjects: [subject] });
  await manager.consumers.add(stream, { durable_name: "files", ack_policy: AckPolicy.Explicit });
  const consumer = await jetstream(connection).consumers.get(stream, "files");
  console.log("ready");
  let left = Number(count);
  for await (const message of await consumer.consume({ max_messages: windowFrames })) {
    const path = `${directory}/${message.headers?.get("name")}`;
    writeFileSync(`${path}.part`, message.data);
    renameSync(`${path}.part`, path);
    message.ack();
    left -= 1;
    if (left === 0) break;
  }
  await connection.flush();
  console.log("stored");
}

async function send(): Promise<void> {
  const client = jetstream(connection);
  const acks: Promise<unknown>[] = [];
  for (const name of readdirSync(directory)) {
    const about = headers();
    about.set("name", name);
    if (acks.length >= windowFrames) await acks.shift();
    acks.push(client.publish(subject, readFileSync(`${directory}/${name}`), { msgID: name, headers: about }));
  }
  await Promise.all(acks);
}

await (role === "receive" ? receive() : send());
await connection.close();
