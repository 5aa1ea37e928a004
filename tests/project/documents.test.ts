import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { envExample } from '#lib/env/example'
import { configDoc } from '#scripts/docs/config'
import { metricsDoc } from '#scripts/docs/metrics'
import { errorsDoc } from '#scripts/docs/errors'
import { migrationsModule } from '#scripts/docs/migrations'
import { files, isTest, read, root, sources } from '#tests/project/sources'

const manifest = z.object({ scripts: z.record(z.string(), z.string()) }).parse(JSON.parse(read('package.json')))
const documents = files().filter((path) => path.endsWith('.md'))

describe('documents', () => {
  test('those that are made from code are what the code says: write them again with npm run docs', () => {
    expect(read('docs/errors.md')).toBe(errorsDoc())
    expect(read('docs/config.md')).toBe(configDoc())
    expect(read('docs/metrics.md')).toBe(metricsDoc())
    expect(read('.env.example')).toBe(envExample())
    expect(read('lib/env/migrations.ts')).toBe(migrationsModule())
  })

  test('the README opens with the two commands, exactly so', () => {
    const commands = [...read('README.md').matchAll(/^npm ci && npm (?:run )?\w+$/gm)].map(([command]) => command)
    expect(commands.slice(0, 2)).toEqual(['npm ci && npm run demo', 'npm ci && npm test'])
    expect(read('.ci/run')).toContain('\nnpm ci && npm test\n')
    expect(manifest.scripts['test']).toBe(manifest.scripts['check'])
  })

  test('every npm command of the documents exists', () => {
    const used = documents.flatMap((path) => [...read(path).matchAll(/npm run ([a-z][a-z:-]*)/g)].map(([, name = '']) => name))
    expect(used.length).toBeGreaterThan(5)
    expect([...new Set(used)].filter((name) => manifest.scripts[name] === undefined)).toEqual([])
  })

  test('every file that a script of package.json runs exists', () => {
    const run = Object.values(manifest.scripts).flatMap((line) => /^node (\S+)/.exec(line)?.slice(1) ?? [])
    expect(run.filter((path) => !existsSync(join(root, path)))).toEqual([])
  })

  test('every file that a document links to or names in the repository exists', () => {
    const missing = documents.flatMap((path) => {
      const text = read(path)
      const linked = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)].map(([, target = '']) => join(path, '..', target))
      const named = [...text.matchAll(/(?<![\w/.#-])(?:lib|local|scripts|inngest|supabase|docs|app)\/[\w/.[\]-]+\.(?:ts|sql|md)\b/g)].map(
        ([target]) => target,
      )
      return [...linked, ...named].filter((target) => !existsSync(join(root, target))).map((target) => `${path}: ${target}`)
    })
    // The README's own examples of what a user adds.
    const examples = new Set(['lib/agents/support.ts', 'lib/tools/order-status.ts'])
    expect(missing.filter((line) => !examples.has(line.replace('README.md: ', '')))).toEqual([])
  })

  test('every event type that the code writes is in docs/events.md', () => {
    const sql = files().filter((path) => path.endsWith('.sql'))
    const production = sources('lib').filter((path) => !isTest(path) && !path.startsWith('lib/testing/'))
    const written = [
      ...sql.flatMap((path) => [...read(path).matchAll(/'(?:progress|control|monitor)', '(?:type', ')?([a-z_]+)'/g)]),
      ...production.flatMap((path) => [
        ...read(path).matchAll(/channel: '(?:progress|control|monitor)'(?: as const)?,\s*type: '([a-z_]+)'/g),
      ]),
    ].map(([, type = '']) => type)
    expect(new Set(written).size).toBeGreaterThan(10)
    const text = read('docs/events.md')
    expect([...new Set(written)].filter((type) => !text.includes(`\`${type}\``))).toEqual([])
  })
})

describe('vercel.json', () => {
  const functionSettings = z.strictObject({ maxDuration: z.int(), supportsCancellation: z.literal(true) })
  const schema = z.strictObject({
    $schema: z.string(),
    framework: z.literal('nextjs'),
    functions: z.record(z.string(), functionSettings),
  })

  test('covers every route with the time that the routes say, for which BATON_MAX_DURATION_MS is not too long by itself, and brings no crons', () => {
    const { functions } = schema.parse(JSON.parse(read('vercel.json')))
    expect(Object.keys(functions)).toEqual(['app/api/**/*', 'app/v1/**/*'])
    expect(functions['app/v1/**/*']).toEqual(functions['app/api/**/*'])
    const seconds = functions['app/api/**/*']?.maxDuration
    const limitMs = Number(/^# BATON_MAX_DURATION_MS=(\d+)$/m.exec(read('.env.example'))?.[1])
    expect(limitMs).toBeLessThanOrEqual(Number(seconds) * 1_000)
    const routes = sources('app').filter((path) => path.endsWith('/route.ts'))
    expect(routes.length).toBeGreaterThan(10)
    const other = routes.filter(
      (path) => !/\[\.\.\.rest\]\]?\/route\.ts$/.test(path) && !read(path).includes(`export const maxDuration = ${seconds}\n`),
    )
    expect(other).toEqual([])
  })
})
