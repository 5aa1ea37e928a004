import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative, sep } from 'node:path'
import { promisify } from 'node:util'
import { z } from 'zod'

/** The folder of the repository. */
export const root = join(import.meta.dirname, '..', '..')

/** A test as the runner collects it: `name` holds the describes around it, parted by ` > `, with its placeholders as written. */
export interface Listed {
  name: string
  file: string
}

const listing = z.array(z.object({ name: z.string(), file: z.string() }))
const limitMs = 60_000

/** All tests of `npm test`, by the runner's own collection. It reads the files and runs nothing: about 3 s. */
export async function listTests(): Promise<Listed[]> {
  const folder = await mkdtemp(join(tmpdir(), 'baton-listing-'))
  try {
    const file = join(folder, 'tests.json')
    await promisify(execFile)(process.execPath, [join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'list', `--json=${file}`], {
      cwd: root,
      timeout: limitMs,
    })
    const found = listing.parse(JSON.parse(await readFile(file, 'utf8')))
    // Names come as the source writes them: a quote in a quoted name still has its backslash.
    return found.map(({ name, file: path }) => ({
      name: name.replaceAll(/\\(['"`])/g, '$1'),
      file: relative(root, path).split(sep).join('/'),
    }))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
