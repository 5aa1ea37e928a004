import { cp, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildClient } from '#scripts/client'
import { clientFolder, installed, nodes, packed, run, type Installed } from '#tests/client/installed'
import { read } from '#tests/project/sources'
import { startWorld, type World } from '#tests/world'

const mostBytes = 22 * 1_024

let world: World
let tarball: Awaited<ReturnType<typeof packed>>
let project: Installed
beforeAll(async () => {
  world = await startWorld()
  tarball = await packed()
  project = await installed(tarball.tarball)
})
afterAll(async () => {
  await Promise.all([project.remove(), tarball.remove()])
  await world.close()
})

test('what is committed is what the source says: write it again with npm run client', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'baton-built-'))
  buildClient(folder)
  for (const file of ['index.js', 'index.d.ts']) {
    expect(await readFile(join(clientFolder, 'dist', file), 'utf8'), `lib/client/dist/${file}`).toBe(
      await readFile(join(folder, file), 'utf8'),
    )
  }
  await rm(folder, { recursive: true })
})

test('the package is one file with its types, under 22 KB, without dependencies and install scripts', async () => {
  expect(tarball.files.toSorted()).toEqual(['LICENSE', 'README.md', 'dist/index.d.ts', 'dist/index.js', 'package.json'])
  expect((await stat(join(clientFolder, 'dist/index.js'))).size).toBeLessThan(mostBytes)
  const manifest = JSON.parse(read('lib/client/package.json')) as Record<string, unknown>
  for (const field of ['dependencies', 'devDependencies', 'peerDependencies', 'scripts']) expect(manifest[field]).toBeUndefined()
  // Nothing of Node and nothing from elsewhere: a browser loads it as it is.
  expect(read('lib/client/dist/index.js')).not.toMatch(/\bfrom\s*['"`]|\bimport\s*\(|\brequire\(|\bprocess\.|\bBuffer\b/)
})

const script = `
import { createBaton, verifyWebhook } from 'baton-client'
const baton = createBaton({ url: process.env.BATON_URL })
const sent = baton.agents.send(process.argv[1].length > 0 ? 'installed-' + process.versions.node : '', 'Hello', { template: 'basic' })
let text = ''
for await (const now of sent.text) text = now
const { output, runId } = await sent
const types = new Set()
for await (const event of baton.runs.events(runId)) types.add(event.type)
console.log(JSON.stringify({ same: text === output, output, done: types.has('done'), verify: typeof verifyWebhook }))
`

test('installed from its tarball it runs on Node 20 and on the newest, against the built server', async () => {
  for (const node of nodes) {
    const said = await project.script('script.js', script, node, { BATON_URL: world.base() })
    expect(JSON.parse(said)).toEqual({ same: true, output: 'You said: Hello', done: true, verify: 'function' })
  }
})

test('installed from git, from a branch that holds only the client, it runs as well', async () => {
  const repository = await mkdtemp(join(tmpdir(), 'baton-git-'))
  for (const file of ['package.json', 'README.md', 'LICENSE', 'dist'])
    await cp(join(clientFolder, file), join(repository, file), { recursive: true })
  const git = (...args: string[]): Promise<string> =>
    run('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], repository)
  await git('init', '--quiet')
  await git('add', '.')
  await git('commit', '--quiet', '-m', 'client')
  const fromGit = await installed(`git+file://${repository}`)
  expect(
    await fromGit.script('script.js', `import { BatonError } from 'baton-client'\nconsole.log(typeof BatonError)`, process.execPath),
  ).toBe('function\n')
  await fromGit.remove()
  await rm(repository, { recursive: true })
})

const consumer = `
import { BatonError, createBaton, verifyWebhook, type BatonEvent, type Outcome, type Run } from 'baton-client'
const baton = createBaton({ url: 'https://example.com', getToken: async () => 'token' })
export async function use(): Promise<Run[]> {
  const sent = baton.agents.send('a', [{ type: 'text', text: 'hello' }], { template: 'basic', limits: { maxSteps: 3 } })
  const outcome: Outcome = await sent
  if (outcome.status === 'done') outcome.output.trim()
  else outcome.approvals.map(({ tool }) => tool.trim())
  for await (const event of sent) told(event)
  const { event } = await verifyWebhook('', new Headers(), 'secret')
  event.data.runId?.trim()
  const runs: Run[] = []
  for await (const run of baton.runs.list({ state: 'failed' })) runs.push(run)
  return runs
}
function told(event: BatonEvent): number {
  if (event.type === 'text_delta') return event.offset
  if (event.type === 'done') return event.costMicros
  return event.seq ?? new BatonError('no', { code: 'none' }).status
}
`

test("its types serve a strict project, with the browser's library alone, with Node's rules of resolution, or with Node's types alone", async () => {
  await writeFile(join(project.folder, 'consumer.ts'), consumer)
  const require = createRequire(import.meta.url)
  const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin/tsc')
  const strict = ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--target', 'es2022']
  const browser = ['--lib', 'es2022,dom,dom.iterable', '--types', '']
  const node = ['--lib', 'es2022', '--types', 'node', '--typeRoots', join(dirname(require.resolve('@types/node/package.json')), '..')]
  for (const [module, resolution, library] of [
    ['esnext', 'bundler', browser],
    ['nodenext', 'nodenext', browser],
    ['nodenext', 'nodenext', node],
  ] as const) {
    const args = [tsc, '--noEmit', ...strict, '--module', module, '--moduleResolution', resolution, ...library, 'consumer.ts']
    await run(process.execPath, args, project.folder).catch((error: { stdout: string }) => expect.fail(error.stdout))
  }
})
