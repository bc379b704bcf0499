// The session of the article with AWS's SDK for JavaScript: folder of the modules, URL, key and secret are arguments.
import assert from "node:assert";
import { createRequire } from "node:module";
const [modules, endpoint, accessKeyId, secretAccessKey] = process.argv.slice(2);
const sdk = createRequire(modules + "/")("@aws-sdk/client-ec2");
const client = new sdk.EC2Client({
  endpoint, region: "pycloud", credentials: { accessKeyId, secretAccessKey }, maxAttempts: 1,
});
const key = await client.send(new sdk.CreateKeyPairCommand({ KeyName: "javascript" }));
assert.match(key.KeyMaterial, /^-----BEGIN/);
const images = await client.send(new sdk.DescribeImagesCommand({
  Owners: ["self"], Filters: [{ Name: "image-type", Values: ["machine"] }],
}));
const zones = await client.send(new sdk.DescribeAvailabilityZonesCommand({ ZoneNames: ["verbose"] }));
assert.strictEqual(zones.AvailabilityZones[2].ZoneName, "|- m1.small");
const run = await client.send(new sdk.RunInstancesCommand({
  ImageId: images.Images[0].ImageId, MinCount: 1, MaxCount: 1, KeyName: "javascript",
}));
const InstanceIds = [run.Instances[0].InstanceId];
await sdk.waitUntilInstanceRunning({ client, minDelay: 1, maxDelay: 1, maxWaitTime: 30 }, { InstanceIds });
const found = await client.send(new sdk.DescribeInstancesCommand({ InstanceIds }));
assert.ok(found.Reservations[0].Instances[0].PublicIpAddress);
assert.ok(found.Reservations[0].Instances[0].LaunchTime instanceof Date);
const ended = await client.send(new sdk.TerminateInstancesCommand({ InstanceIds }));
assert.strictEqual(ended.TerminatingInstances[0].CurrentState.Name, "shutting-down");
await assert.rejects(
  client.send(new sdk.DescribeInstancesCommand({ InstanceIds: ["i-00000000"] })),
  { name: "InvalidInstanceID.NotFound" },
);
console.log("done");
