/** Where a bucket is, and the signature: the examples of Amazon's own documentation. */
import { expect, test } from "bun:test";
import { UserError } from "../../../src/errors.ts";
import { bucketOf } from "../../../src/sinks/s3/bucket.ts";
import { Signer } from "../../../src/sinks/s3/signature.ts";

const keys = { AWS_ACCESS_KEY_ID: "ID", AWS_SECRET_ACCESS_KEY: "SECRET" };

test("a bucket has a host of its own at Amazon, and a path elsewhere or where its name has dots", () => {
  const addressOf = (destination: string, env: Record<string, string>): string =>
    bucketOf(destination, { ...keys, ...env }).address;
  expect(addressOf("s3://frames", {})).toBe("https://frames.s3.us-east-1.amazonaws.com");
  expect(addressOf("s3://frames", { AWS_REGION: "eu-west-3" })).toBe("https://frames.s3.eu-west-3.amazonaws.com");
  expect(addressOf("s3://my.frames", { AWS_DEFAULT_REGION: "eu-west-3" })).toBe(
    "https://s3.eu-west-3.amazonaws.com/my.frames",
  );
  expect(addressOf("s3://frames", { AWS_ENDPOINT_URL: "http://10.0.0.1:9000/" })).toBe("http://10.0.0.1:9000/frames");
  const both = { AWS_ENDPOINT_URL: "http://a", AWS_ENDPOINT_URL_S3: "https://b/s3" };
  expect(addressOf("s3://frames", both)).toBe("https://b/s3/frames");
});

test("a prefix ends in one slash; an empty variable is none", () => {
  const { place, prefix, region, credentials } = bucketOf("s3://frames/a/b//", { ...keys, AWS_REGION: "" });
  expect({ place, prefix, region }).toEqual({ place: "s3://frames/a/b", prefix: "a/b/", region: "us-east-1" });
  expect(credentials).toEqual({ accessKeyId: "ID", secretAccessKey: "SECRET", sessionToken: undefined });
  expect(bucketOf("s3://frames/", keys)).toMatchObject({ place: "s3://frames", prefix: "" });
});

test.each([
  ["s3://", keys, "is no bucket"],
  ["s3://b", keys, "is no bucket"],
  ["s3://frames/../x", keys, "is no bucket"],
  ["s3://frames//x", keys, "is no bucket"],
  ["s3://frames/a?b", keys, "is no bucket"],
  ["s3://frames", {}, "AWS_ACCESS_KEY_ID is not set"],
  ["s3://frames", { ...keys, AWS_SECRET_ACCESS_KEY: "" }, "AWS_SECRET_ACCESS_KEY is not set"],
  ["s3://frames", { ...keys, AWS_ENDPOINT_URL: "localhost:9000" }, "AWS_ENDPOINT_URL"],
  ["s3://frames", { ...keys, AWS_ENDPOINT_URL: "https://u:p@host" }, "AWS_ENDPOINT_URL"],
])("%s with %p is refused", (destination, env, said) => {
  const opening = (): unknown => bucketOf(destination, env);
  expect(opening).toThrow(UserError);
  expect(opening).toThrow(said);
});

test("signatures are those of Amazon's examples", () => {
  const credentials = {
    accessKeyId: "AKIAIOSFODNN7EXAMPLE",
    secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    sessionToken: undefined,
  };
  const signer = new Signer(credentials, "us-east-1");
  const atMs = Date.UTC(2013, 4, 24);
  const signatureOf = (method: string, path: string, headers: Record<string, string>, body = ""): string => {
    const url = new URL(`https://examplebucket.s3.amazonaws.com${path}`);
    const { authorization } = signer.sign({ method, url, headers, body: Buffer.from(body) }, atMs);
    return authorization?.split("Signature=")[1] ?? "";
  };
  expect(signatureOf("GET", "/test.txt", { range: "bytes=0-9" })).toBe(
    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
  );
  const headers = { date: "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY" };
  expect(signatureOf("PUT", "/test%24file.text", headers, "Welcome to Amazon S3.")).toBe(
    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
  );
  expect(signatureOf("GET", "/?max-keys=2&prefix=J", {})).toBe(
    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
  );
});

test("a session token is signed with the rest", () => {
  const signer = new Signer({ accessKeyId: "ID", secretAccessKey: "SECRET", sessionToken: "TOKEN" }, "us-east-1");
  const signed = signer.sign({ method: "GET", url: new URL("http://a/b"), headers: {}, body: new Uint8Array(0) }, 0);
  expect(signed["x-amz-security-token"]).toBe("TOKEN");
  expect(signed["authorization"]).toContain(";x-amz-security-token,");
});
