/**
 * An honest S3 store on loopback, of Debian's packages: Ceph's monitor, one OSD and radosgw as plain processes, without
 * authentication among themselves. It takes up to a minute to start, 400 MiB of memory and 4 GiB of sparse disk.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Bucket } from "../../src/sinks/s3/bucket.ts";
import { S3Client } from "../../src/sinks/s3/s3-client.ts";
import { freePort } from "./processes.ts";

/** Debian: radosgw, ceph-mon, ceph-osd, ceph-common. */
export const hasRadosgw: boolean = ["radosgw", "ceph-mon", "ceph-osd", "ceph"].every(
  (name) => Bun.which(name) !== null,
);

const accessKeyId = "FRAMEPIPETEST";
const secretAccessKey = "framepipe-test-secret";

export class Radosgw {
  readonly #dir = mkdtempSync(join(tmpdir(), "framepipe-ceph-"));
  readonly #gatewayPort: number = freePort();
  readonly #monitorPort: number = freePort();
  readonly #oldMonitorPort: number = freePort();

  /** For a receiver. */
  get env(): Record<string, string> {
    return {
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_REGION: "us-east-1",
      AWS_ENDPOINT_URL: `http://127.0.0.1:${this.#gatewayPort}`,
    };
  }

  bucket(prefix: string): Bucket {
    return {
      place: `s3://frames/${prefix}`,
      credentials: { accessKeyId, secretAccessKey, sessionToken: undefined },
      region: "us-east-1",
      address: `http://127.0.0.1:${this.#gatewayPort}/frames`,
      prefix: `${prefix}/`,
    };
  }

  /** If it cannot be started, nothing of it is left. */
  async start(): Promise<this> {
    try {
      await this.#start();
    } catch (error) {
      await this.stop();
      throw error;
    }
    return this;
  }

  async #start(): Promise<void> {
    for (const folder of ["mon", "osd", "rgw", "log"]) mkdirSync(join(this.#dir, folder));
    writeFileSync(this.#conf, this.#configuration());
    const monmap = join(this.#dir, "monmap");
    await this.#run("monmaptool", "--create", "--clobber", "--fsid", this.#fsid, "--addv", "a", this.#monitors, monmap);
    await this.#run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap);
    await this.#run("ceph-mon", "-i", "a");
    const uuid = crypto.randomUUID();
    await this.#again(() => this.#run("ceph", "osd", "new", uuid, "0"));
    await this.#run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", uuid);
    await this.#run("ceph-osd", "-i", "0", "--osd-uuid", uuid);
    await this.#again(async () => {
      if (!(await this.#run("ceph", "osd", "stat")).includes("1 up")) throw new Error("the OSD is not up");
    });
    const keys = [`--access-key=${accessKeyId}`, `--secret=${secretAccessKey}`];
    await this.#run("radosgw-admin", "-n", "client.rgw", "user", "create", "--uid=f", "--display-name=f", ...keys);
    await this.startGateway();
    const client = new S3Client(this.bucket("x"), 20_000);
    await this.#again(() => client.send({ method: "PUT", key: "", expected: [200, 409] }));
  }

  /** It cannot bind while connections of an earlier one linger, so it is started until it listens. */
  async startGateway(): Promise<void> {
    await this.#again(async () => {
      await this.#run("radosgw", "-n", "client.rgw");
      await this.#again(() => canConnect(this.#gatewayPort), 20);
    });
  }

  /** `kill -9`. */
  async killGateway(): Promise<void> {
    await this.#end("client.rgw", "SIGKILL");
  }

  async stop(): Promise<void> {
    for (const name of ["client.rgw", "osd.0", "mon.a"]) await this.#end(name, "SIGKILL");
    rmSync(this.#dir, { recursive: true, force: true });
  }

  readonly #fsid: string = crypto.randomUUID();

  get #monitors(): string {
    return `[v2:127.0.0.1:${this.#monitorPort},v1:127.0.0.1:${this.#oldMonitorPort}]`;
  }

  get #conf(): string {
    return join(this.#dir, "ceph.conf");
  }

  async #run(program: string, ...words: readonly string[]): Promise<string> {
    const conf = program === "monmaptool" ? [] : ["-c", this.#conf];
    const child = Bun.spawn([program, ...conf, ...words], { stdio: ["ignore", "pipe", "pipe"], timeout: 60_000 });
    const [text, said] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    if ((await child.exited) !== 0) throw new Error(`${program} ${words.join(" ")}: status ${child.exitCode}: ${said}`);
    return text;
  }

  async #again(attempt: () => Promise<unknown>, times = 60): Promise<void> {
    for (let left = times; ; left -= 1) {
      try {
        await attempt();
        return;
      } catch (error) {
        if (left === 0) throw error;
        await Bun.sleep(250);
      }
    }
  }

  async #end(name: string, signal: NodeJS.Signals): Promise<void> {
    const pid = this.#pidOf(name);
    if (pid === undefined) return;
    try {
      process.kill(pid, signal);
      while (process.kill(pid, 0)) await Bun.sleep(20);
    } catch {
      // It is gone.
    }
    rmSync(join(this.#dir, `${name}.pid`), { force: true });
  }

  #pidOf(name: string): number | undefined {
    try {
      return Number(readFileSync(join(this.#dir, `${name}.pid`), "utf8"));
    } catch {
      return undefined;
    }
  }

  #configuration(): string {
    const dir = this.#dir;
    return `[global]
fsid = ${this.#fsid}
mon host = ${this.#monitors}
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = true
public network = 127.0.0.0/8
ms bind ipv6 = false
ms mon client mode = crc
ms mon service mode = crc
ms mon cluster mode = crc
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd crush chooseleaf type = 0
osd class load list = *
osd class default list = *
mon allow pool size one = true
mon osd full ratio = .99
osd failsafe full ratio = .999
setuser match path = /nonexistent
run dir = ${dir}
log file = ${dir}/log/$name.log
admin socket = ${dir}/$name.asok
pid file = ${dir}/$name.pid
[mon.a]
mon data = ${dir}/mon
mon addr = 127.0.0.1:${this.#oldMonitorPort}
[osd.0]
osd data = ${dir}/osd
osd objectstore = bluestore
bluestore block create = true
bluestore block size = 4294967296
bluestore fsck on mount = false
osd memory target = 939524096
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:${this.#gatewayPort} tcp_nodelay=1
rgw data = ${dir}/rgw
rgw zone = default
debug rgw = 0
`;
  }
}

function canConnect(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve();
    });
    socket.on("error", reject);
  });
}
