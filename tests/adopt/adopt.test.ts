import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { get } from 'node:http'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { files, root } from '#tests/project/sources'
import { script, startWorld, type World } from '#tests/world'

/*
 * docs/adopt.md, done: Baton inside another Next.js app, in a folder that was empty. The folder stands in .baton, so that packages are those that are
 * installed here; a test that installs them anew would need a registry.
 */
const run = promisify(execFile)
const host = join(root, '.baton', `adopt-${randomBytes(4).toString('hex')}`)
const write = async (path: string, text: string): Promise<void> => {
  await mkdir(dirname(join(host, path)), { recursive: true })
  await writeFile(join(host, path), text)
}
const adopt = (...parameters: string[]) =>
  run(process.execPath, [join(host, 'baton', 'scripts', 'adopt.ts'), ...parameters], { timeout: 120_000 })

/** What the app itself answers: not by fetch, whose answers are held against Baton's own document. */
const theirs = (url: string): Promise<string> =>
  new Promise((resolve, reject) => {
    get(url, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (part: string) => (text += part))
      answer.on('end', () => resolve(text))
    }).on('error', reject)
  })

let world: World | undefined
beforeAll(async () => {
  // An app that somebody has.
  await write(
    'package.json',
    JSON.stringify({
      name: 'theirs',
      private: true,
      type: 'module',
      dependencies: { next: '16.4.6', react: '19.3.1', 'react-dom': '19.3.1' },
    }),
  )
  await write('app/layout.tsx', 'export default function Layout({ children }) { return <html><body>{children}</body></html> }\n')
  await write('app/page.tsx', 'export default function Page() { return <p>their page</p> }\n')
  await write('app/api/orders/route.ts', `export const GET = () => Response.json({ orders: [7] })\n`)
  await write(
    'next.config.ts',
    `export default { turbopack: { root: ${JSON.stringify(root)} }, typescript: { ignoreBuildErrors: true }, experimental: { turbopackMinify: false, turbopackSourceMaps: false, turbopackFileSystemCacheForBuild: false } }\n`,
  )
  // Baton as a folder of it.
  for (const path of files().filter(
    (file) => /^(app|inngest|lib|local|scripts|supabase)\/|^(package|tsconfig)\.json$/.test(file) && !/\.test\.tsx?$/.test(file),
  ))
    await cp(join(root, path), join(host, 'baton', path), { recursive: true })
}, 120_000)
afterAll(async () => {
  await world?.close()
  await rm(host, { recursive: true, force: true })
})

test('an address that the app has already is not taken: nothing is written', async () => {
  await write('app/api/agents/route.ts', 'export const GET = () => Response.json([])\n')
  await expect(adopt()).rejects.toMatchObject({ stderr: expect.stringMatching(/nothing was written[\s\S]*app\/api\/agents\/route\.ts/) })
  expect(await readFile(join(host, 'app/api/agents/route.ts'), 'utf8')).toContain('Response.json([])')
  await expect(readFile(join(host, 'app/api/runs/route.ts'))).rejects.toThrow('ENOENT')
  await rm(join(host, 'app/api/agents/route.ts'))
})

test('its addresses and dependencies come into the app, and again changes nothing', async () => {
  expect((await adopt('--dry-run')).stdout).toContain('would write app/api/agents/route.ts')
  await expect(readFile(join(host, 'app/api/runs/route.ts'))).rejects.toThrow('ENOENT')
  expect((await adopt()).stdout).toContain('written package.json')
  const stub = await readFile(join(host, 'app/api/agents/[id]/messages/route.ts'), 'utf8')
  expect(stub).toMatch(
    /^\/\/ Written by.*\nexport const maxDuration = \d+\nexport \{ GET, POST,.* \} from '\.\.\/\.\.\/\.\.\/\.\.\/\.\.\/baton\/app\/api\/agents\/\[id\]\/messages\/route'\n$/,
  )
  const manifest = JSON.parse(await readFile(join(host, 'package.json'), 'utf8')) as { name: string; dependencies: Record<string, string> }
  expect(manifest).toMatchObject({ name: 'theirs', dependencies: { next: '16.4.6', inngest: expect.any(String), zod: expect.any(String) } })
  const again = (await adopt()).stdout
  expect(again).not.toContain('package.json')
  expect(await readFile(join(host, 'app/api/agents/[id]/messages/route.ts'), 'utf8')).toBe(stub)
  // Functions that live longer, as docs/adopt.md has it: that stays, and an address that a release brings takes it over.
  const stubs = [...again.matchAll(/^written (app\/.+)$/gm)].map(([, path = '']) => path)
  for (const path of stubs) await write(path, (await readFile(join(host, path), 'utf8')).replace(/maxDuration = \d+/, 'maxDuration = 300'))
  await rm(join(host, 'app/api/runs/route.ts'))
  await adopt()
  const texts = await Promise.all(stubs.map((path) => readFile(join(host, path), 'utf8')))
  expect(texts.length).toBeGreaterThan(40)
  expect(texts.filter((text) => !text.includes('export const maxDuration = 300\n'))).toEqual([])
  expect(await readFile(join(host, 'app/api/orders/route.ts'), 'utf8')).toContain('orders')
})

test('the app is built with Baton in it, and both answer', async () => {
  const next = join(root, 'node_modules', 'next', 'dist', 'bin', 'next')
  await run(process.execPath, [next, 'build'], {
    cwd: host,
    timeout: 280_000,
    env: { ...process.env, NODE_ENV: 'production', NEXT_TELEMETRY_DISABLED: '1' },
  })
  world = await startWorld({ serverCommand: [process.execPath, next, 'start', host, '-H', '127.0.0.1'] })
  expect(await theirs(`${world.base()}/api/orders`)).toBe('{"orders":[7]}')
  expect(await theirs(world.base())).toContain('their page')
  expect(await world.send('adopted', script({ text: 'hello from inside' }), { prefer: 'wait=25' })).toMatchObject({
    status: 200,
    body: { status: 'done', output: 'hello from inside' },
  })
  const background = await world.send('adopted', script({ text: 'and in the background' }), { prefer: 'respond-async' })
  expect(await world.ended(String(background.body['runId']))).toMatchObject({ state: 'completed', output: 'and in the background' })
  // Its build does not go by Baton's next.config, and still knows the migrations.
  await world.sql(`delete from baton.migrations where name like '0028%'`)
  expect(await world.http('GET', '/api/health')).toMatchObject({
    status: 503,
    body: { checks: { migrations: { upToDate: false, missing: ['0028_consistency.sql'] } } },
  })
}, 300_000)
