// The Vercel AI SDK: the provider that the snippet makes, and the ones for OpenAI and Anthropic from their variables.
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { Output, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

import { asPrinted, given, serve, telling } from './conversation.mjs';

const Place = z.object({ city: z.string(), inhabitants: z.number().int() });

let copilot;

function languageModel({ api, model, key }) {
  if (api === 'responses') return createOpenAI(given({ apiKey: key })).responses(model);
  if (api === 'messages') return createAnthropic(given({ apiKey: key }))(model);
  if (!key) return copilot(model);
  return createOpenAICompatible({ name: 'copilot-bridge', baseURL: process.env.OPENAI_BASE_URL, apiKey: key })(model);
}

const settings = ({ retries = 0, ...how }) => ({ model: languageModel(how), ...given({ maxRetries: retries }) });

serve({
  async set_up({ code }) {
    const made = await asPrinted(code, 'copilot');
    copilot = made.copilot;
    return made.printed;
  },

  async text({ prompt, ...how }) {
    const { text, finishReason } = await generateText({ ...settings(how), prompt });
    return { text, end: finishReason };
  },

  async stream({ prompt, ...how }) {
    const seen = { pieces: [], end: null };
    return telling(seen, async () => {
      const result = streamText({ ...settings(how), prompt, onError() {} });
      let failed;
      for await (const part of result.fullStream) {
        if (part.type === 'text-delta') seen.pieces.push(part.text);
        if (part.type === 'error') failed = part.error;
        if (part.type === 'finish' && part.finishReason !== 'error') seen.end = part.finishReason;
      }
      if (failed) throw failed instanceof Error ? failed : new Error(JSON.stringify(failed));
      return { text: await result.text };
    });
  },

  async tools({ prompt, streamed, ...how }) {
    const asked = [];
    const get_weather = tool({
      description: 'Current weather',
      inputSchema: z.object({ city: z.string() }),
      execute: ({ city }) => {
        asked.push(city);
        return `${city}: 11 degrees`;
      },
    });
    const options = { ...settings(how), prompt, tools: { get_weather }, stopWhen: stepCountIs(5) };
    return { text: await (streamed ? streamText(options) : await generateText(options)).text, asked };
  },

  async goes_on({ model, prompts, streamed }) {
    const told = { texts: [], asked: [] };
    const get_weather = tool({
      description: 'Current weather',
      inputSchema: z.object({ city: z.string() }),
      execute: ({ city }) => {
        told.asked.push(city);
        return '11 degrees';
      },
    });
    const messages = [];
    for (const prompt of prompts) {
      messages.push({ role: 'user', content: prompt });
      // With the provider's defaults, which name what the model has said instead of saying it again.
      const options = { model: createOpenAI()(model), messages, tools: { get_weather }, stopWhen: stepCountIs(5) };
      const result = streamed ? streamText(options) : await generateText(options);
      told.texts.push(await result.text);
      messages.push(...(await result.responseMessages));
    }
    return told;
  },

  async structured({ prompt, ...how }) {
    return (await generateText({ ...settings(how), prompt, output: Output.object({ schema: Place }) })).output;
  },

  async image({ prompt, url, ...how }) {
    const content = [{ type: 'text', text: prompt }, { type: 'image', image: url }];
    return { text: (await generateText({ ...settings(how), messages: [{ role: 'user', content }] })).text };
  },

  async thinking({ prompt, ...how }) {
    const providerOptions = {
      'copilot-bridge': { reasoningEffort: 'high' },
      openai: { reasoningEffort: 'high', reasoningSummary: 'auto', forceReasoning: true },
      anthropic: { thinking: { type: 'enabled', budgetTokens: 2048 } },
    };
    const { text, reasoningText } = await generateText({ ...settings(how), prompt, providerOptions });
    return { thoughts: reasoningText, text };
  },
});
