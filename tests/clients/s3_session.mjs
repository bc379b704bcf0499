// Buckets and objects with AWS's SDK for JavaScript: folder of the modules, URL, key and secret are arguments.
import assert from "node:assert";
import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
const [modules, endpoint, accessKeyId, secretAccessKey] = process.argv.slice(2);
const sdk = createRequire(modules + "/")("@aws-sdk/client-s3");
const client = new sdk.S3Client({
  endpoint, region: "pycloud", credentials: { accessKeyId, secretAccessKey }, maxAttempts: 1, forcePathStyle: true,
});
const Bucket = "javascript";
const keys = [
  "plain", "a space", "plus+plus", "per%2Fcent", "a//b", "emoji 😀/é", "trailing/", "line\nfeed", "q?a=b&c#d",
  "x".repeat(1024),
];
await client.send(new sdk.CreateBucketCommand({ Bucket }));
for (const Key of keys) {
  await client.send(new sdk.PutObjectCommand({ Bucket, Key, Body: Key + Key, Metadata: { where: "sea" } }));
  const found = await client.send(new sdk.GetObjectCommand({ Bucket, Key }));
  assert.strictEqual(await found.Body.transformToString(), Key + Key);
  assert.deepStrictEqual(found.Metadata, { where: "sea" });
}
const listed = await client.send(new sdk.ListObjectsV2Command({ Bucket }));
assert.deepStrictEqual(listed.Contents.map((one) => one.Key).sort(), [...keys].sort());
const parts = [randomBytes(5 * 1024 * 1024), randomBytes(100)];
const { UploadId } = await client.send(new sdk.CreateMultipartUploadCommand({ Bucket, Key: "large" }));
const Parts = [];
for (const [index, Body] of parts.entries()) {
  const sent = await client.send(
    new sdk.UploadPartCommand({ Bucket, Key: "large", UploadId, PartNumber: index + 1, Body }),
  );
  Parts.push({ PartNumber: index + 1, ETag: sent.ETag, ChecksumCRC32: sent.ChecksumCRC32 });
}
await client.send(
  new sdk.CompleteMultipartUploadCommand({ Bucket, Key: "large", UploadId, MultipartUpload: { Parts } }),
);
const large = await client.send(new sdk.GetObjectCommand({ Bucket, Key: "large" }));
assert.ok(Buffer.concat(parts).equals(Buffer.from(await large.Body.transformToByteArray())));
await client.send(new sdk.CopyObjectCommand({ Bucket, Key: "copy", CopySource: Bucket + "/large" }));
await assert.rejects(client.send(new sdk.GetObjectCommand({ Bucket, Key: "nothing" })), { name: "NoSuchKey" });
const gone = await client.send(new sdk.DeleteObjectsCommand({
  Bucket, Delete: { Objects: [...keys, "large", "copy"].map((Key) => ({ Key })) },
}));
assert.strictEqual(gone.Deleted.length, keys.length + 2);
await client.send(new sdk.DeleteBucketCommand({ Bucket }));
await assert.rejects(client.send(new sdk.HeadBucketCommand({ Bucket })), { name: "NotFound" });
console.log("done");
