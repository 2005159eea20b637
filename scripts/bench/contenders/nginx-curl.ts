/** nginx serves the frames, curl fetches them over many connections at once. */
import { join } from "node:path";
import { mkdirSync, writeFileSync } from "node:fs";
import { type Contender, movedAll } from "../contender.ts";
import { freePort } from "../stage.ts";

/** Debian puts nginx where only root's path leads. */
const nginx = Bun.which("nginx") ?? Bun.which("/usr/sbin/nginx");
const connections = 16;

export const nginxCurl: Contender = {
  name: "nginx-curl",
  role: "peer",
  safe: false,
  guarantees:
    `the receiver fetches: GET with curl -Z over ${connections} connections from an nginx that runs already and ` +
    "knows the names beforehand; no checksum, files grow under their final names; time from start to exit of curl",
  kinds: ["directory"],
  missing: () => (nginx === null ? "nginx" : Bun.which("curl") === null ? "curl" : undefined),
  async run({ set, dest, scratch, stage }) {
    const port = freePort();
    const config = join(scratch, "nginx.conf");
    writeFileSync(config, nginxConfig(port, set.folder, scratch));
    stage.start("sender", [nginx ?? "nginx", "-c", config, "-e", join(scratch, "nginx.log")]);
    await stage.listening(port);
    const list = join(scratch, "urls");
    const entries = set.names.map(
      (name) => `url = "http://127.0.0.1:${port}/${name}"\noutput = "${join(dest, name)}"\n`,
    );
    writeFileSync(list, entries.join(""));
    const fetch = ["curl", "--parallel", "--parallel-max", `${connections}`, "--silent", "--show-error", "--fail"];
    await stage.time(() => stage.start("receiver", [...fetch, "--config", list]).succeeded());
    return movedAll(set, dest);
  },
};

function nginxConfig(port: number, folder: string, scratch: string): string {
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((use) => {
    mkdirSync(join(scratch, use), { recursive: true });
    return `${use}_temp_path ${join(scratch, use)};`;
  });
  return [
    "daemon off;",
    "worker_processes 1;",
    `pid ${join(scratch, "nginx.pid")};`,
    // Workers of root would otherwise become somebody who cannot read the frames.
    ...(process.getuid?.() === 0 ? ["user root;"] : []),
    "events { worker_connections 256; }",
    `http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; ${temp.join(" ")}`,
    `server { listen 127.0.0.1:${port}; root ${folder}; } }`,
    "",
  ].join("\n");
}
