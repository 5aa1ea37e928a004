import { existsSync } from 'node:fs'
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { parseArgs } from 'node:util'
import { stubMark } from '#scripts/operator/stubs'

/* It runs before any package is installed, and so imports none. */

const usage = `Usage: node baton/scripts/adopt.ts [--host DIR] [--dry-run]
  Puts Baton's addresses into the Next.js app around this folder: one file of three lines in its app folder for each, which hands on to
  Baton's own, and Baton's dependencies into its package.json. Nothing of the app is changed otherwise; where it has a file of its own at one of the
  addresses, nothing is written at all. Run again after an upgrade: the number of maxDuration that you
  have set in the files stays.
  --host DIR   the app's folder, by default the one around this folder
  --dry-run    only say what would be written`

const baton = resolve(import.meta.dirname, '..')

interface Manifest {
  dependencies: Record<string, string>
}

async function manifestIn(file: string): Promise<Manifest> {
  const given = JSON.parse(await readFile(file, 'utf8')) as Partial<Manifest>
  return { ...given, dependencies: given.dependencies ?? {} }
}

/** Route files of Baton that an app gets: its API and dialects. The answer to unknown addresses, pages and the controls of local mode stay out. */
async function routes(): Promise<string[]> {
  const files = await readdir(join(baton, 'app'), { recursive: true })
  return files
    .map((file) => file.split(sep).join('/'))
    .filter((file) => file.endsWith('/route.ts') && /^(api|v1)\//.test(file) && !file.includes('[...') && !file.startsWith('api/local/'))
    .toSorted()
}

/** The seconds that a route file asks for; none where it says nothing. */
function secondsOf(text: string): number[] {
  return [...text.matchAll(/^export const maxDuration = (\d+)/gm)].map(([, seconds]) => Number(seconds))
}

/** The three lines: segment settings must stand in the file itself, the handlers come from Baton's. */
function stub(target: string, source: string, text: string, seconds: number): string {
  const names =
    /export const \{([^}]+)\}/.exec(text)?.[1] ??
    [...text.matchAll(/export (?:const|async function) ([A-Z]+)\b/g)].map(([, name]) => name).join(', ')
  const from = relative(dirname(target), source).split(sep).join('/').replace(/\.ts$/, '')
  return `${stubMark}\nexport const maxDuration = ${seconds}\nexport {${names.trimEnd().endsWith(',') ? names.trimEnd().slice(0, -1) : names} } from '${from}'\n`
    .replace(/\{\s+/, '{ ')
    .replace(/\s+\}/, ' }')
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { host: { type: 'string' }, 'dry-run': { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
  })
  if (values.help) return console.log(usage)
  const host = resolve(values.host ?? join(baton, '..'))
  const manifestFile = join(host, 'package.json')
  if (!existsSync(manifestFile)) throw new Error(`${host} is no app: it has no package.json. Name it with --host.`)
  const app = [join(host, 'app'), join(host, 'src', 'app')].find((folder) => existsSync(folder))
  if (app === undefined) throw new Error(`${host} has no app folder: Baton needs the App Router.`)

  const written: [file: string, text: string][] = []
  const present = await Promise.all(
    (await routes()).map(async (route) => {
      const target = join(app, route)
      return { route, target, text: existsSync(target) ? await readFile(target, 'utf8') : stubMark }
    }),
  )
  const taken = present.filter(({ text }) => !text.startsWith(stubMark)).map(({ target }) => relative(host, target))
  // An address that is new in this release lives as long as those that the app has, or BATON_MAX_DURATION_MS would be too long for it.
  const theirSeconds = present.flatMap(({ text }) => secondsOf(text))
  for (const { route, target, text } of present) {
    const source = join(baton, 'app', route)
    const own = await readFile(source, 'utf8')
    const [seconds = 60] = [...secondsOf(text), ...theirSeconds.toSorted((a, b) => a - b), ...secondsOf(own)]
    written.push([target, stub(target, source, own, seconds)])
  }
  if (taken.length > 0)
    throw new Error(
      `The app has files of its own at these addresses; nothing was written:\n  ${taken.join('\n  ')}\nMove them, or deploy Baton as an app of its own (docs/adopt.md).`,
    )

  const own = await manifestIn(join(baton, 'package.json'))
  const theirs = await manifestIn(manifestFile)
  const missing = Object.entries(own.dependencies).filter(([name]) => theirs.dependencies[name] === undefined)
  const other = Object.entries(own.dependencies).filter(([name, version]) => ![undefined, version].includes(theirs.dependencies[name]))
  const dependencies = Object.fromEntries(
    Object.entries({ ...theirs.dependencies, ...Object.fromEntries(missing) }).toSorted(([a], [b]) => a.localeCompare(b)),
  )
  if (missing.length > 0) written.push([manifestFile, `${JSON.stringify({ ...theirs, dependencies }, null, 2)}\n`])

  for (const [file, text] of written) {
    if (!values['dry-run']) {
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, text)
    }
    console.log(`${values['dry-run'] ? 'would write' : 'written'} ${relative(host, file)}`)
  }
  for (const [name, version] of other)
    console.log(`note: the app has ${name} ${theirs.dependencies[name]}, Baton is tested with ${version}`)
  console.log(
    '\nNext: npm install; exclude "baton" in the tsconfig.json of the app; npm --prefix baton ci; npm --prefix baton run migrate; npm --prefix baton run bootstrap; npm --prefix baton run doctor',
  )
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error))
  if (error instanceof TypeError) console.error(usage)
  process.exitCode = 1
})
