// The official Node SDKs, unmodified, against bridge and simulator: a chosen dozen and a half of streams.
// Run by test_node_sdks.py, which says where the bridge is.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';

const { BRIDGE_URL, BRIDGE_KEY, PICTURE } = process.env;
const openai = new OpenAI({ baseURL: `${BRIDGE_URL}/v1`, apiKey: BRIDGE_KEY, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: BRIDGE_URL, apiKey: BRIDGE_KEY, maxRetries: 0 });

const CODEX = 'gpt-5.3-codex';
const GPT = 'gpt-4.1';
const CLAUDE = 'claude-sonnet-4.6';
const GEMINI = 'gemini-3-pro-preview';

const TEXT = 'The quick brown fox — über 你好 👋🏽.';
const TWO_CALLS = '[[tool: get_weather {"city": "Oslo"}]] [[tool: get_weather {"city": "Zürich"}]]';
const CITIES = ['Oslo', 'Zürich'];
const LONG_AND_CUT = '[[say: one two three four five six seven eight]] [[cut: 7]]';
const CITY = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
};

const user = (content) => [{ role: 'user', content }];

async function all(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

// What came before the error that the stream must end in.
async function broken(open) {
  const events = [];
  await assert.rejects(async () => {
    for await (const event of await open()) events.push(event);
  }, /broke off|closed the connection/);
  assert.notEqual(events.length, 0);
  return events;
}

// ── Chat Completions ────────────────────────────────────────────────────────────────────────────────────────────────

const chatTool = { type: 'function', function: { name: 'get_weather', parameters: CITY } };

for (const model of [GPT, CODEX]) {
  test(`chat: text from ${model}`, async () => {
    const stream = openai.chat.completions.stream({
      model,
      messages: user(`[[say: ${TEXT}]]`),
      stream_options: { include_usage: true },
    });
    const final = await stream.finalChatCompletion();
    assert.equal(final.choices[0].message.content, TEXT);
    assert.equal(final.choices[0].finish_reason, 'stop');
    assert.equal(final.model, model);
    assert.ok((await stream.totalUsage()).total_tokens > 0);
  });
}

for (const model of [CLAUDE, CODEX]) {
  test(`chat: parallel tools of ${model}, there and back`, async () => {
    const messages = user(`[[say: Both.]] ${TWO_CALLS}`);
    const final = await openai.chat.completions.stream({ model, messages, tools: [chatTool] }).finalMessage();
    assert.equal(final.content, 'Both.');
    assert.deepEqual(final.tool_calls.map((call) => JSON.parse(call.function.arguments).city), CITIES);
    messages.push(final);
    for (const call of final.tool_calls) messages.push({ role: 'tool', tool_call_id: call.id, content: `ok ${call.id}` });
    const answer = await openai.chat.completions.stream({ model, messages, tools: [chatTool] }).finalContent();
    for (const call of final.tool_calls) assert.ok(answer.includes(`ok ${call.id}`), answer);
  });
}

test('chat: a cut stream is an error', async () => {
  const chunks = await broken(() =>
    openai.chat.completions.create({ model: CODEX, messages: user(LONG_AND_CUT), stream: true }),
  );
  assert.ok(chunks.every((chunk) => !chunk.choices[0]?.finish_reason));
});

// ── Responses ───────────────────────────────────────────────────────────────────────────────────────────────────────

const responsesTool = { type: 'function', name: 'get_weather', parameters: CITY, strict: true };

test(`responses: text from ${CODEX}`, async () => {
  const stream = openai.responses.stream({ model: CODEX, input: `[[say: ${TEXT}]]` });
  const final = await stream.finalResponse();
  assert.equal(final.output_text, TEXT);
  assert.equal(final.status, 'completed');
  assert.equal(final.model, CODEX);
});

test(`responses: parallel tools of ${GPT}, there and back`, async () => {
  const input = user(TWO_CALLS);
  const final = await openai.responses.stream({ model: GPT, input, tools: [responsesTool] }).finalResponse();
  const calls = final.output.filter((item) => item.type === 'function_call');
  assert.deepEqual(calls.map((call) => JSON.parse(call.arguments).city), CITIES);
  for (const { parsed_arguments, ...item } of final.output) input.push(item);
  for (const call of calls) {
    input.push({ type: 'function_call_output', call_id: call.call_id, output: `ok ${call.call_id}` });
  }
  const answer = await openai.responses.stream({ model: GPT, input, tools: [responsesTool] }).finalResponse();
  for (const call of calls) assert.ok(answer.output_text.includes(`ok ${call.call_id}`), answer.output_text);
});

for (const model of [CODEX, CLAUDE]) {
  test(`responses: reasoning of ${model}, there and back`, async () => {
    const options = {
      model,
      tools: [responsesTool],
      reasoning: { effort: 'medium', summary: 'auto' },
      include: ['reasoning.encrypted_content'],
      store: false,
    };
    const input = user('[[think: Let me see.]] [[tool: get_weather {"city": "Oslo"}]]');
    const final = await openai.responses.stream({ ...options, input }).finalResponse();
    const [thought, call] = final.output;
    assert.deepEqual(thought.summary.map((part) => part.text), ['Let me see.']);
    assert.ok(thought.encrypted_content);
    const { parsed_arguments, ...bare } = call;
    input.push(thought, bare, { type: 'function_call_output', call_id: call.call_id, output: 'fine' });
    const answer = await openai.responses.stream({ ...options, input }).finalResponse();
    assert.ok(answer.output_text.includes('fine'), answer.output_text);
  });
}

test(`responses: an image for ${CLAUDE}`, async () => {
  const image = { type: 'input_image', image_url: `data:image/png;base64,${PICTURE}`, detail: 'auto' };
  const input = user([{ type: 'input_text', text: 'What do you see?' }, image]);
  const final = await openai.responses.stream({ model: CLAUDE, input }).finalResponse();
  assert.ok(final.output_text.includes('12x7'), final.output_text);
});

test(`responses: structured output of ${CODEX}`, async () => {
  const text = { format: { type: 'json_schema', name: 'place', strict: true, schema: CITY } };
  const final = await openai.responses.stream({ model: CODEX, input: 'Where?', text }).finalResponse();
  assert.equal(typeof JSON.parse(final.output_text).city, 'string');
});

for (const model of [CODEX, CLAUDE]) {
  test(`responses: a cut stream of ${model} is an error`, async () => {
    const events = await broken(() =>
      openai.responses.create({ model, input: LONG_AND_CUT, stream: true }),
    );
    assert.ok(events.every((event) => event.type !== 'response.completed'));
  });
}

// ── Messages ────────────────────────────────────────────────────────────────────────────────────────────────────────

const messagesTool = { name: 'get_weather', input_schema: CITY };

for (const model of [CLAUDE, GPT]) {
  test(`messages: text from ${model}`, async () => {
    const stream = anthropic.messages.stream({ model, max_tokens: 1024, messages: user(`[[say: ${TEXT}]]`) });
    const final = await stream.finalMessage();
    assert.equal(await stream.finalText(), TEXT);
    assert.equal(final.stop_reason, 'end_turn');
    assert.equal(final.model, model);
    assert.ok(final.usage.input_tokens > 0 && final.usage.output_tokens > 0);
  });
}

test(`messages: parallel tools of ${GEMINI}, there and back`, async () => {
  const options = { model: GEMINI, max_tokens: 1024, tools: [messagesTool] };
  const messages = user(TWO_CALLS);
  const final = await anthropic.messages.stream({ ...options, messages }).finalMessage();
  const uses = final.content.filter((block) => block.type === 'tool_use');
  assert.equal(final.stop_reason, 'tool_use');
  assert.deepEqual(uses.map((use) => use.input.city), CITIES);
  const results = uses.map((use) => ({ type: 'tool_result', tool_use_id: use.id, content: `ok ${use.id}` }));
  messages.push({ role: 'assistant', content: final.content }, { role: 'user', content: results });
  const answer = await anthropic.messages.stream({ ...options, messages }).finalText();
  for (const use of uses) assert.ok(answer.includes(`ok ${use.id}`), answer);
});

for (const [model, thinking] of [
  [CLAUDE, { type: 'adaptive' }],
  [CODEX, { type: 'enabled', budget_tokens: 2048 }],
]) {
  test(`messages: thinking of ${model}, there and back`, async () => {
    const options = { model, max_tokens: 4096, tools: [messagesTool], thinking };
    const messages = user('[[think: Let me see.]] [[tool: get_weather {"city": "Oslo"}]]');
    const final = await anthropic.messages.stream({ ...options, messages }).finalMessage();
    const [thought, use] = final.content;
    assert.equal(thought.thinking, 'Let me see.');
    assert.ok(thought.signature);
    const result = { type: 'tool_result', tool_use_id: use.id, content: 'fine' };
    messages.push({ role: 'assistant', content: final.content }, { role: 'user', content: [result] });
    const answer = await anthropic.messages.stream({ ...options, messages }).finalText();
    assert.ok(answer.includes('fine'), answer);
  });
}

for (const model of [CLAUDE, GPT, CODEX]) {
  test(`messages: the tool runner goes on without threads with ${model}`, async () => {
    const cities = [];
    const tool = {
      ...messagesTool,
      run: ({ city }) => {
        cities.push(city);
        return `${city}: 11 degrees`;
      },
    };
    const messages = user(
      `${TWO_CALLS} [[next]] [[tool: get_weather {"city": "Bern"}]] [[next]] [[say: Warm everywhere.]]`,
    );
    const final = await anthropic.beta.messages.toolRunner({ model, max_tokens: 1024, tools: [tool], messages });
    assert.equal(final.content.at(-1).text, 'Warm everywhere.');
    assert.deepEqual(cities.toSorted(), ['Bern', ...CITIES]);
  });
}

test(`messages: an image for ${CODEX}`, async () => {
  const source = { type: 'base64', media_type: 'image/png', data: PICTURE };
  const messages = user([{ type: 'text', text: 'What do you see?' }, { type: 'image', source }]);
  const text = await anthropic.messages.stream({ model: CODEX, max_tokens: 1024, messages }).finalText();
  assert.ok(text.includes('12x7'), text);
});

test(`messages: structured output of ${CLAUDE}`, async () => {
  const output_config = { format: { type: 'json_schema', schema: CITY } };
  const messages = user('Where?');
  const text = await anthropic.messages.stream({ model: CLAUDE, max_tokens: 1024, messages, output_config }).finalText();
  assert.equal(typeof JSON.parse(text).city, 'string');
});

for (const model of [CLAUDE, GPT]) {
  test(`messages: a cut stream of ${model} is an error`, async () => {
    const events = await broken(() =>
      anthropic.messages.create({ model, max_tokens: 1024, messages: user(LONG_AND_CUT), stream: true }),
    );
    assert.ok(events.every((event) => event.type !== 'message_stop'));
  });
}

test('messages: errors before the stream keep their status', async () => {
  const messages = user('[[error: 429 retry-after=3]]');
  await assert.rejects(
    all(await anthropic.messages.stream({ model: GPT, max_tokens: 1024, messages })),
    (error) => error instanceof Anthropic.RateLimitError && error.headers.get('retry-after') === '3',
  );
});
