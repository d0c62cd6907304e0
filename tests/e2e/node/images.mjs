// Drives a running server with the official SDK; prints what it saw as one JSON line. usage: node images.mjs BASE_URL
import OpenAI, { toFile } from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "unused", maxRetries: 0 });
const seen = {};

const generated = await client.images.generate({
  model: "sketch", prompt: "a red circle on a white background", n: 2, size: "256x256", seed: 3, num_inference_steps: 4,
});
seen.pictures = generated.data.map((item) => item.b64_json);
seen.seeds = generated.limner.effective.seeds;

const png = await toFile(Buffer.from(seen.pictures[0], "base64"), "circle.png", { type: "image/png" });
const edited = await client.images.edit({ model: "sketch", image: png, prompt: "make it blue" });
seen.edited = edited.data[0].b64_json;
seen.editedSize = edited.size;

const stream = await client.images.generate({
  model: "sketch", prompt: "a yellow star", stream: true, partial_images: 2,
});
seen.events = [];
for await (const event of stream) {
  seen.events.push(event.type);
  if (event.type.endsWith("completed")) seen.usage = event.usage;
}

seen.errors = [];
for (const bad of [{ n: 11 }, { model: "no-such-model" }, { no_such_parameter: 1 }]) {
  try {
    await client.images.generate({ model: "sketch", prompt: "x", ...bad });
  } catch (error) {
    seen.errors.push([error.status, error.param, error.constructor.name]);
  }
}
console.log(JSON.stringify(seen));
