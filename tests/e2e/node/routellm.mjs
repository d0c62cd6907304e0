// Runs RouteLLM's examples with the official SDK, as a client of that API is written; prints the URLs that each found
// as one JSON line. usage: node routellm.mjs BASE_URL EXAMPLES_JSON
import OpenAI from "openai";

const [baseURL, examples] = [process.argv[2], JSON.parse(process.argv[3])];
const options = { baseURL, apiKey: "unused", maxRetries: 0 };
const bySchema = new OpenAI(options);
const byParts = new OpenAI({ ...options, defaultQuery: { reply_form: "parts" } });
const found = [];

for (const { model, prompt, config } of examples) {
  const body = {
    model, messages: [{ role: "user", content: prompt }], modalities: ["image"], image_config: config,
  };
  const seen = { images: [], parts: [] };

  const response = await bySchema.chat.completions.create(body);
  const message = response.choices[0].message;
  seen.content = message.content;
  message.images.forEach((item) => {
    if (item.type === "image_url") seen.images.push(item.image_url.url);
  });
  seen.points = response.usage.compute_points_used;
  seen.model = response.model;

  const inParts = await byParts.chat.completions.create(body);
  inParts.choices[0].message.content?.forEach((item) => {
    if (item.type === "image_url") seen.parts.push(item.image_url.url);
  });
  found.push(seen);
}
console.log(JSON.stringify(found));
