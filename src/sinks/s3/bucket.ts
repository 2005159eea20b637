/** Where `s3://bucket/prefix` is, and with whose rights: from the environment, as other S3 programs take it. */
import { UserError } from "../../errors.ts";
import type { Credentials } from "./signature.ts";

export interface Bucket {
  /** For messages. */
  readonly place: string;
  readonly credentials: Credentials;
  readonly region: string;
  /** Without `/` at its end: keys follow. */
  readonly address: string;
  /** Empty, or ends in `/`. */
  readonly prefix: string;
}

/** Throws UserError. */
export function bucketOf(destination: string, env: Readonly<Record<string, string | undefined>>): Bucket {
  const parts = /^s3:\/\/(?<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(?<prefix>.*))?$/i.exec(destination)?.groups;
  const bucket = parts?.["bucket"];
  const prefix = (parts?.["prefix"] ?? "").replace(/\/+$/, "");
  const segments = prefix.split("/");
  if (
    bucket === undefined ||
    (prefix !== "" && segments.some((segment) => /^\.*$|[\x00-\x20\x7f?#\\]/.test(segment)))
  ) {
    throw new UserError(`${destination} is no bucket`, ["s3://BUCKET or s3://BUCKET/PREFIX"]);
  }
  const given = (name: string): string | undefined => (env[name] === "" ? undefined : env[name]);
  const [accessKeyId, secretAccessKey] = [given("AWS_ACCESS_KEY_ID"), given("AWS_SECRET_ACCESS_KEY")];
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    const missing = accessKeyId === undefined ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY";
    throw new UserError(`${destination}: ${missing} is not set`, [
      "rights come from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, perhaps AWS_SESSION_TOKEN",
      "AWS_REGION says where the bucket is, AWS_ENDPOINT_URL which store other than Amazon's",
    ]);
  }
  const region = given("AWS_REGION") ?? given("AWS_DEFAULT_REGION") ?? "us-east-1";
  const endpoint = given("AWS_ENDPOINT_URL_S3") ?? given("AWS_ENDPOINT_URL");
  return {
    place: prefix === "" ? `s3://${bucket}` : `s3://${bucket}/${prefix}`,
    credentials: { accessKeyId, secretAccessKey, sessionToken: given("AWS_SESSION_TOKEN") },
    region,
    address: endpoint === undefined ? amazonAddress(bucket, region) : `${checkedEndpoint(endpoint)}/${bucket}`,
    prefix: prefix === "" ? "" : `${prefix}/`,
  };
}

/** A host for each bucket, but where its name would not fit a certificate. */
function amazonAddress(bucket: string, region: string): string {
  const host = `s3.${region}.amazonaws.com`;
  return bucket.includes(".") ? `https://${host}/${bucket}` : `https://${bucket}.${host}`;
}

function checkedEndpoint(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isWhole =
    url !== undefined && /^https?:$/.test(url.protocol) && `${url.username}${url.search}${url.hash}` === "";
  if (url === undefined || !isWhole) {
    throw new UserError("AWS_ENDPOINT_URL is no address of a store", ["for example https://store.example.org:9000"]);
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}
