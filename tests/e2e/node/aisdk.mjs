// Drives a running server with the Vercel AI SDK: generateImage through each of its providers, and the pictures that
// generateText brings. Prints what it saw as one JSON line. usage: node aisdk.mjs SERVER
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateImage, generateText } from "ai";

globalThis.AI_SDK_LOG_WARNINGS = false; // they go to standard output
const server = process.argv[2];
const apiKey = "unused";
const openai = createOpenAI({ baseURL: `${server}/v1`, apiKey });
const google = createGoogleGenerativeAI({ baseURL: `${server}/v1beta`, apiKey });
const limner = createOpenAICompatible({ name: "limner", baseURL: `${server}/v1`, apiKey });
const prompt = "a red circle on a white background";
const seen = {};

const draw = (options) => generateImage({ prompt, maxRetries: 0, ...options });
const told = ({ images, warnings, usage, responses }) => ({
  images: images.map(({ mediaType, base64 }) => [mediaType, base64]),
  warnings: warnings.map(({ type, feature }) => [type, feature]),
  outputTokens: usage.outputTokens,
  jobs: responses.map(({ headers }) => headers["x-limner-job"]),
});
const failure = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return [error.statusCode, error.data?.error?.param ?? null, error.message];
  }
  return null;
};

const first = await draw({ model: openai.image("sketch"), size: "256x256", n: 3 });
seen.openai = told(first);
const output = { openai: { quality: "high", background: "opaque", outputFormat: "webp", moderation: "low" } };
seen.gptImage = told(await draw({ model: openai.image("gpt-image-1"), size: "1024x1024", n: 2, providerOptions: output }));
const dalle = { openai: { style: "vivid", quality: "hd" } };
seen.dalle = told(await draw({ model: openai.image("dall-e-3"), providerOptions: dalle }));
const images = [first.image.uint8Array];
seen.edited = told(await draw({ model: openai.image("sketch"), prompt: { text: "make it blue", images } }));

const own = { limner: { seed: 5, num_inference_steps: 4 } };
seen.compatible = told(await draw({ model: limner.imageModel("sketch"), size: "256x256", n: 2, providerOptions: own }));
seen.again = told(await draw({ model: limner.imageModel("sketch"), size: "256x256", providerOptions: own }));
seen.compatibleEdited = told(await draw({ model: limner.imageModel("sketch"), prompt: { text: "make it blue", images } }));

seen.gemini = told(await draw({ model: google.image("gemini-2.5-flash-image"), aspectRatio: "4:5", seed: 5 }));
const change = { text: "make it blue", images };
seen.geminiEdited = told(await draw({ model: google.image("gemini-3-pro-image"), prompt: change, aspectRatio: "21:9" }));

const words = await generateText({
  model: google("gemini-2.5-flash-image"), prompt, maxRetries: 0,
  providerOptions: { google: { responseModalities: ["TEXT", "IMAGE"], imageConfig: { aspectRatio: "16:9" } } },
});
seen.inWords = { files: words.files.map(({ mediaType, base64 }) => [mediaType, base64]), end: words.finishReason };
const tool = await generateText({
  model: openai("sketch"), prompt, maxRetries: 0,
  tools: { image_generation: openai.tools.imageGeneration({ outputFormat: "webp", size: "auto" }) },
});
seen.tool = tool.staticToolResults.map(({ toolName, output }) => [toolName, output.result]);

seen.errors = [
  await failure(draw({ model: openai.image("no-such-model") })),
  await failure(draw({ model: limner.imageModel("sketch"), size: "1x1" })),
  await failure(draw({ model: google.image("gemini-no-such-model"), aspectRatio: "1:1" })),
];
console.log(JSON.stringify(seen));
