// The OpenAI SDK for Node: the client that the snippet makes, its helpers for streams, parsing and tools.
import { ResponsesToolRunner, runnerFunction } from 'openai/helpers/responses-tool-runner';
import { zodFunction, zodResponseFormat, zodResponsesFunction, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';

import { asPrinted, given, serve, telling } from './conversation.mjs';

const Place = z.object({ city: z.string(), inhabitants: z.number().int() });
const GetWeather = z.object({ city: z.string() });

let made;
const client = ({ key, retries = 0 } = {}) => made.withOptions(given({ apiKey: key, maxRetries: retries }));
const user = (content) => [{ role: 'user', content }];

serve({
  async set_up({ code }) {
    const { client, printed } = await asPrinted(code, 'client');
    made = client;
    return printed;
  },

  async text({ api, model, prompt, ...how }) {
    if (api === 'responses') {
      const response = await client(how).responses.create({ model, input: prompt });
      return { text: response.output_text, end: response.status };
    }
    const answer = await client(how).chat.completions.create({ model, messages: user(prompt) });
    return { text: answer.choices[0].message.content, end: answer.choices[0].finish_reason };
  },

  async stream({ api, model, prompt, ...how }) {
    const seen = { pieces: [], end: null };
    return telling(seen, async () => {
      if (api === 'responses') {
        const events = client(how).responses.stream({ model, input: prompt });
        for await (const event of events) {
          if (event.type === 'response.output_text.delta') seen.pieces.push(event.delta);
          if (event.type === 'response.completed') seen.end = event.response.status;
        }
        return { text: (await events.finalResponse()).output_text };
      }
      const events = client(how).chat.completions.stream({ model, messages: user(prompt) });
      events.on('content', (delta) => seen.pieces.push(delta));
      for await (const chunk of events) seen.end = chunk.choices[0]?.finish_reason ?? seen.end;
      return { text: await events.finalContent() };
    });
  },

  async tools({ api, model, prompt, streamed }) {
    const asked = [];
    const weather = ({ city }) => {
      asked.push(city);
      return `${city}: 11 degrees`;
    };
    const tool = { name: 'get_weather', description: 'Current weather', parameters: GetWeather, function: weather };
    if (api === 'responses') {
      const runner = new ResponsesToolRunner({ functions: [runnerFunction(zodResponsesFunction(tool))] });
      const final = await runner.run(client(), { model, input: prompt }, { stream: streamed });
      return { asked, text: final.output_text };
    }
    const options = { model, messages: user(prompt), tools: [zodFunction(tool)], stream: streamed };
    return { asked, text: await client().chat.completions.runTools(options).finalContent() };
  },

  async goes_on({ model, prompts, streamed }) {
    const told = { texts: [], asked: [] };
    const tools = [zodResponsesFunction({ name: 'get_weather', parameters: GetWeather })];
    let previous_response_id;
    for (const prompt of prompts) {
      let input = user(prompt);
      while (input.length) {
        const body = { model, input, tools, ...given({ previous_response_id }) };
        const response = streamed
          ? await client().responses.stream(body).finalResponse()
          : await client().responses.create(body);
        previous_response_id = response.id;
        input = response.output
          .filter((item) => item.type === 'function_call')
          .map(({ call_id, arguments: given }) => {
            told.asked.push(JSON.parse(given).city);
            return { type: 'function_call_output', call_id, output: '11 degrees' };
          });
        if (!input.length) told.texts.push(response.output_text);
      }
    }
    return told;
  },

  async structured({ api, model, prompt }) {
    if (api === 'responses') {
      const text = { format: zodTextFormat(Place, 'place') };
      return (await client().responses.parse({ model, input: prompt, text })).output_parsed;
    }
    const response_format = zodResponseFormat(Place, 'place');
    const answer = await client().chat.completions.parse({ model, messages: user(prompt), response_format });
    return answer.choices[0].message.parsed;
  },

  async image({ api, model, prompt, url }) {
    if (api === 'responses') {
      const parts = [{ type: 'input_text', text: prompt }, { type: 'input_image', image_url: url, detail: 'auto' }];
      return { text: (await client().responses.create({ model, input: user(parts) })).output_text };
    }
    const parts = [{ type: 'text', text: prompt }, { type: 'image_url', image_url: { url } }];
    const answer = await client().chat.completions.create({ model, messages: user(parts) });
    return { text: answer.choices[0].message.content };
  },

  async thinking({ api, model, prompt }) {
    if (api === 'responses') {
      const reasoning = { effort: 'high', summary: 'auto' };
      const response = await client().responses.create({ model, input: prompt, reasoning });
      const thoughts = response.output.filter((item) => item.type === 'reasoning').flatMap((item) => item.summary);
      return { thoughts: thoughts.map((part) => part.text).join(''), text: response.output_text };
    }
    const options = { model, messages: user(prompt), reasoning_effort: 'high' };
    const { message } = (await client().chat.completions.create(options)).choices[0];
    return { thoughts: message.reasoning_content, text: message.content };
  },
});
