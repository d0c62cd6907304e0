// Drives chat and Responses of a running server with the official SDK; prints what it saw as one JSON line.
// usage: node chat.mjs BASE_URL
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "unused", maxRetries: 0 });
const messages = [{ role: "user", content: "a red circle on a white background" }];
const seen = { chunks: 0, images: [], events: [] };

const stream = await client.chat.completions.create({
  model: "sketch", messages, modalities: ["image", "text"], stream: true, stream_options: { include_usage: true }, seed: 3,
});
for await (const chunk of stream) {
  seen.chunks += 1;
  for (const image of chunk.choices[0]?.delta?.images ?? []) seen.images.push(image.image_url.url);
  if (chunk.usage) seen.usage = chunk.usage;
  if (chunk.limner) seen.seed = chunk.limner.effective.seed;
}

const tools = [{ type: "image_generation", partial_images: 1, num_inference_steps: 4 }];
const events = await client.responses.create({ model: "sketch", input: "a blue square", tools, stream: true });
for await (const event of events) {
  seen.events.push(event.type);
  if (event.type === "response.completed") seen.response = event.response;
}
const edited = await client.responses.create({
  model: "sketch", input: "make it yellow", tools, previous_response_id: seen.response.id,
});
seen.action = edited.output[0].action;

seen.errors = [];
for (const bad of [{ n: 11 }, { modalities: ["text"] }, { model: "no-such-model" }]) {
  try {
    await client.chat.completions.create({ model: "sketch", messages, modalities: ["image"], ...bad });
  } catch (error) {
    seen.errors.push([error.status, error.param, error.constructor.name]);
  }
}
console.log(JSON.stringify(seen));
