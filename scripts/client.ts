import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/*
 * `npm run client`: builds lib/client/dist (one ESM file and its types) from lib/client/src. Its output is committed, so that the package
 * installs from git without building; a test compares it with the source.
 */

const root = join(import.meta.dirname, '..')
const folder = join(root, 'lib/client')
const require = createRequire(import.meta.url)
const longestMs = 120_000

function tool(name: string, file: string, args: string[]): void {
  const script = join(dirname(require.resolve(`${name}/package.json`)), file)
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [script, ...args], {
    cwd: folder,
    encoding: 'utf8',
    timeout: longestMs,
  })
  if (status !== 0) throw new Error(`${name} failed: ${error?.message ?? `${stdout}${stderr}`}`)
}

const statement = /^(?:import|export)\s(?:type\s)?\{[^}]*\}\s*from\s*['"]#client\/[^'"]+['"];?\n/gm

/** The declarations of all files in one: their imports of each other go, and only what the index exports is exported. */
function bundledTypes(emitted: string): string {
  const index = readFileSync(join(emitted, 'index.d.ts'), 'utf8')
  const values: string[] = []
  for (const [, typeOnly, names = ''] of index.matchAll(/^export\s(type\s)?\{([^}]*)\}/gm)) {
    for (const name of names.split(',').map((entry) => entry.trim()))
      if (name !== '') values.push(typeOnly !== undefined && !name.startsWith('type ') ? `type ${name}` : name)
  }
  const declarations = readdirSync(emitted)
    .filter((file) => file.endsWith('.d.ts') && file !== 'index.d.ts')
    .toSorted()
    .map((file) =>
      readFileSync(join(emitted, file), 'utf8')
        .replaceAll(statement, '')
        .replaceAll(/^export (?=declare|interface|type)/gm, ''),
    )
  const text = [...declarations, `export { ${values.toSorted().join(', ')} }`].map((part) => part.trim()).join('\n')
  const names = [...text.matchAll(/^(?:declare (?:const|function|class)|interface|type) (\w+)/gm)].map(([, name = '']) => name)
  const doubled = names.filter((name, index) => names.indexOf(name) !== index)
  if (doubled.length > 0) throw new Error(`the files of the client share names: ${doubled.join(', ')}`)
  if (text.includes('#client/')) throw new Error('an import is left in the types')
  return `${text}\n`
}

/** Writes `index.js` and `index.d.ts` into a folder. Throws with the tool's output where the source does not compile. */
export function buildClient(into: string): void {
  const emitted = mkdtempSync(join(tmpdir(), 'baton-client-'))
  try {
    mkdirSync(into, { recursive: true })
    tool('typescript', 'bin/tsc', ['-p', 'tsconfig.build.json', '--outDir', emitted])
    tool('rolldown', 'bin/cli.mjs', [
      'src/index.ts',
      '--format',
      'esm',
      '--platform',
      'neutral',
      '--minify',
      '--file',
      join(into, 'index.js'),
      '--tsconfig',
      'tsconfig.build.json',
    ])
    const file = join(into, 'index.js')
    writeFileSync(file, readFileSync(file, 'utf8').replaceAll('/* @__PURE__ */ ', ''))
    writeFileSync(join(into, 'index.d.ts'), bundledTypes(emitted))
  } finally {
    rmSync(emitted, { recursive: true, force: true })
  }
}

if (import.meta.main) buildClient(join(folder, 'dist'))
