// The Anthropic SDK for TypeScript: the client that the snippet makes, its helpers for streams, parsing and tools.
import { betaZodTool } from '@anthropic-ai/sdk/helpers/beta/zod';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { z } from 'zod';

import { asPrinted, given, serve, telling } from './conversation.mjs';

const Place = z.object({ city: z.string(), inhabitants: z.number().int() });

let made;
const client = ({ key, retries = 0 } = {}) => made.withOptions(given({ apiKey: key, maxRetries: retries }));
const user = (content) => [{ role: 'user', content }];
const said = (message) => message.content.filter((block) => block.type === 'text').map((block) => block.text).join('');

serve({
  async set_up({ code }) {
    const { client, printed } = await asPrinted(code, 'client');
    made = client;
    return printed;
  },

  async text({ model, prompt, ...how }) {
    const message = await client(how).messages.create({ model, max_tokens: 1024, messages: user(prompt) });
    return { text: said(message), end: message.stop_reason };
  },

  async stream({ model, prompt, ...how }) {
    const seen = { pieces: [], end: null };
    return telling(seen, async () => {
      const events = client(how).messages.stream({ model, max_tokens: 1024, messages: user(prompt) });
      events.on('text', (delta) => seen.pieces.push(delta));
      events.on('finalMessage', (message) => (seen.end = message.stop_reason));
      return { text: await events.finalText() };
    });
  },

  async tools({ model, prompt, streamed }) {
    const asked = [];
    const weather = betaZodTool({
      name: 'get_weather',
      description: 'Current weather',
      inputSchema: z.object({ city: z.string() }),
      run: ({ city }) => {
        asked.push(city);
        return `${city}: 11 degrees`;
      },
    });
    const options = { model, max_tokens: 1024, messages: user(prompt), tools: [weather], stream: streamed };
    return { asked, text: said(await client().beta.messages.toolRunner(options).runUntilDone()) };
  },

  async structured({ model, prompt }) {
    const output_config = { format: zodOutputFormat(Place) };
    const options = { model, max_tokens: 1024, messages: user(prompt), output_config };
    return (await client().messages.parse(options)).parsed_output;
  },

  async image({ model, prompt, url }) {
    const source = { type: 'base64', media_type: 'image/png', data: url.split('base64,')[1] };
    const parts = [{ type: 'text', text: prompt }, { type: 'image', source }];
    return { text: said(await client().messages.create({ model, max_tokens: 1024, messages: user(parts) })) };
  },

  async thinking({ model, prompt }) {
    const thinking = { type: 'enabled', budget_tokens: 2048 };
    const message = await client().messages.create({ model, max_tokens: 4096, thinking, messages: user(prompt) });
    const thoughts = message.content.filter((block) => block.type === 'thinking').map((block) => block.thinking);
    return { thoughts: thoughts.join(''), text: said(message) };
  },
});
