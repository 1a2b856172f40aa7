// One library in a process of its own: commands come in as JSON lines, and what it gave or raised goes out as such.
// The same words as conversation.py.
import { createInterface } from 'node:readline';
import { writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import path from 'node:path';

const write = process.stdout.write.bind(process.stdout);
console.log = console.error; // what a library prints must not come between the answers

export function serve(verbs) {
  createInterface({ input: process.stdin }).on('line', async (line) => {
    const { id, do: verb, with: options } = JSON.parse(line);
    let told;
    try {
      told = { value: await verbs[verb](options) };
    } catch (error) {
      told = { raised: described(error) };
    }
    write(JSON.stringify({ id, ...told }) + '\n');
  });
}

function described(error) {
  const kinds = [];
  for (let kind = error?.constructor; kind && kind !== Function.prototype; kind = Object.getPrototypeOf(kind)) {
    kinds.push(kind.name);
  }
  const headers = error?.headers ?? error?.responseHeaders;
  return {
    type: kinds[0],
    kinds: [error?.name, ...kinds],
    message: String(error?.message ?? error),
    status: error?.status ?? error?.statusCode ?? null,
    code: error?.code ?? error?.data?.error?.code ?? null,
    retry_after: (typeof headers?.get === 'function' ? headers.get('retry-after') : headers?.['retry-after']) ?? null,
    seen: error?.seen ?? null,
    cause: error?.lastError || error?.cause ? described(error.lastError ?? error.cause) : null,
  };
}

let snippets = 0;

// Runs a snippet exactly as it stands, in the folder of the project: the names asked for, and what it printed.
export async function asPrinted(code, ...names) {
  const file = path.join(process.cwd(), `snippet-${(snippets += 1)}.mjs`);
  await writeFile(file, `${code}\nexport { ${names.join(', ')} };\n`);
  const printed = [];
  const usual = console.log;
  console.log = (...values) => printed.push(values.join(' '));
  try {
    const made = await import(pathToFileURL(file));
    return { ...made, printed: printed.join('\n') + '\n' };
  } finally {
    console.log = usual;
  }
}

// Whatever is raised by `run` carries what had arrived until then.
export async function telling(seen, run) {
  try {
    return { ...seen, ...(await run()), pieces: seen.pieces, end: seen.end };
  } catch (error) {
    error.seen = seen;
    throw error;
  }
}

// The options that have a value.
export const given = (options) => Object.fromEntries(Object.entries(options).filter(([, value]) => value != null));
