// A conversation with limner/auto through the official SDK: node conversation.mjs BASE_URL SEED WORDS...
import OpenAI from "openai";

const [baseURL, seed, ...steps] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const messages = [];
const seen = { operations: [], pictures: [], answer: "" };
for (const content of steps) {
  messages.push({ role: "user", content });
  const made = await client.chat.completions.create({ model: "limner/auto", messages, seed: Number(seed) });
  seen.answer = made.choices[0].message.content;
  messages.push({ role: "assistant", content: seen.answer });
  seen.operations.push(made.limner.operation);
  seen.pictures.push(...[...seen.answer.matchAll(/base64,([^)]+)\)/g)].map((match) => match[1]));
}
console.log(JSON.stringify(seen));
