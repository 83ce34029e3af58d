// One caller's way through the API with gRPC for Node.js, and a few raw HTTP/2 calls: node journey.js HOST:PORT PROTOS
// Prints what came back as one line of JSON; the test judges it.
"use strict";
const http2 = require("node:http2");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [address, protos] = process.argv.slice(2);
const SERVICE = "/buddies.v1.RecommenderService";

const definition = loader.loadSync("buddies/v1/recommender.proto", { includeDirs: [protos], keepCase: true, longs: Number, arrays: true });
const { RecommenderService } = grpc.loadPackageDefinition(definition).buddies.v1;

function call(client, method, request, { metadata = {}, deadline_s = 20 } = {}) {
  const sent = new grpc.Metadata();
  for (const [name, value] of Object.entries(metadata)) sent.set(name, value);
  return new Promise((resolve) => {
    client[method](request, sent, { deadline: Date.now() + deadline_s * 1000 }, (error, answer) => {
      if (!error) return resolve({ code: 0, answer });
      const details = error.metadata.get("grpc-status-details-bin").map((value) => value.toString("latin1"));
      resolve({ code: error.code, message: error.details, details: details.join("") });
    });
  });
}

function stream(client, request) {
  return new Promise((resolve, reject) => {
    const users = [];
    const parts = client.RecommendStream({ request, part_size: 2 }, { deadline: Date.now() + 20000 });
    parts.on("data", (part) => users.push(...part.recommendations.map((one) => one.user_id)));
    parts.on("error", reject);
    parts.on("end", () => resolve(users));
  });
}

// A call that no gRPC client sends: headers, and the end of the stream at once or after some bytes.
function raw(path, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const session = http2.connect(`http://${address}`);
    session.on("error", reject);
    const asked = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers", ...headers };
    const request = session.request(asked, { endStream: body === null });
    let found = {};
    request.on("response", (response) => (found = { ...found, ...response }));
    request.on("trailers", (trailers) => (found = { ...found, ...trailers }));
    request.on("data", () => {});
    request.on("error", reject);
    request.on("end", () => {
      session.close();
      resolve({ http: found[":status"], code: found["grpc-status"], message: found["grpc-message"] });
    });
    if (body !== null) request.end(body);
  });
}

async function main() {
  const found = {};
  const plain = new RecommenderService(address, grpc.credentials.createInsecure());
  const packed = new RecommenderService(address, grpc.credentials.createInsecure(), {
    "grpc.default_compression_algorithm": grpc.compressionAlgorithms.gzip,
  });
  found.status = await call(plain, "GetModelStatus", {});
  const users = Array.from({ length: 20 }, (_, number) => `user-${number}`);
  found.recommended = await call(plain, "Recommend", { user_ids: ["user-1", "a\u0000b", ...users], limit: 3 });
  found.packed = await call(packed, "Recommend", { user_ids: Array(300).fill("user-1"), limit: 1 });
  found.streamed = await stream(plain, { user_ids: ["user-1", "user-2", "user-3"] });
  found.invalid = await call(plain, "Recommend", { user_ids: ["user-1"], limit: 1000 });

  const one = found.recommended.answer.recommendations.find((each) => each.playlists.length === 3);
  const [liked, ignored] = one.playlists.map((playlist) => playlist.playlist_id);
  const feedback = {
    recommendation_id: one.recommendation_id, user_id: one.user_id, liked: [liked], ignored: [ignored],
    idempotency_key: `node-${process.pid}-${Date.now()}`,
  };
  found.stored = await call(plain, "Feedback", feedback);
  found.again = await call(plain, "Feedback", feedback);
  found.reused = await call(plain, "Feedback", { ...feedback, liked: [ignored], ignored: [] });
  found.other_caller = await call(plain, "Feedback", { ...feedback, liked: [ignored], ignored: [] }, {
    metadata: { "buddies-caller": "another" },
  });

  found.much_metadata = await call(plain, "GetModelStatus", {}, { metadata: { filler: "f".repeat(9000) } });
  found.after_it = await call(plain, "GetModelStatus", {}, { metadata: { filler: "f".repeat(7000) } });
  found.no_message = await raw(`${SERVICE}/Recommend`, null);
  found.cut_off = await raw(`${SERVICE}/Recommend`, Buffer.from([0, 0, 0, 1, 0, 1]));
  found.bad_timeout = await raw(`${SERVICE}/Recommend`, Buffer.alloc(5), { "grpc-timeout": "soon" });
  found.bad_encoding = await raw(`${SERVICE}/Recommend`, Buffer.alloc(5), { "grpc-encoding": "br" });
  found.no_such_method = await raw(`${SERVICE}/Recomend`, Buffer.alloc(5));
  found.web = await raw(`${SERVICE}/Recommend`, Buffer.alloc(5), { "content-type": "application/grpc-web+proto" });
  process.stdout.write(`${JSON.stringify(found)}\n`);
  plain.close();
  packed.close();
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
