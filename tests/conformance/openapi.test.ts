import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { openApiDocument } from '#lib/api/openapi/document'
import { startWorld, type World } from '#tests/world'

const redocly = join(dirname(createRequire(import.meta.url).resolve('@redocly/cli/package.json')), 'bin/cli.js')
const report = z.object({ totals: z.object({ errors: z.int(), warnings: z.int(), ignored: z.int() }), problems: z.array(z.unknown()) })

let world: World
let folder: string
beforeAll(async () => {
  world = await startWorld()
  folder = await mkdtemp(join(tmpdir(), 'baton-openapi-'))
})
afterAll(async () => {
  await world.close()
  await rm(folder, { recursive: true, force: true })
})

/** What Redocly says of a document; it exits with 1 where it finds errors. */
async function lint(document: unknown): Promise<z.infer<typeof report>> {
  const file = join(folder, 'openapi.json')
  await writeFile(file, JSON.stringify(document))
  const options = {
    timeout: 60_000,
    maxBuffer: 64_000_000,
    env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' },
  }
  const args = [redocly, 'lint', file, '--format=json', '--config', join(import.meta.dirname, 'redocly.yaml')]
  const { stdout } = await promisify(execFile)(process.execPath, args, options).catch((failed: { stdout: string }) => failed)
  return report.parse(JSON.parse(stdout))
}

test('Redocly finds nothing to complain of in the document that is served', async () => {
  const { body } = await world.http('GET', '/api/openapi.json')
  expect(body).toEqual(JSON.parse(JSON.stringify(openApiDocument())))
  const { totals, problems } = await lint(body)
  expect(problems).toEqual([])
  expect(totals).toEqual({ errors: 0, warnings: 0, ignored: 0 })
})

test('Redocly would find an example that does not fit, and an operation without an id', async () => {
  const document = JSON.parse(JSON.stringify(openApiDocument())) as { paths: Record<string, Record<string, Record<string, unknown>>> }
  const get = document.paths['/api/health/live']?.['get']
  if (get === undefined) throw new Error('no liveness')
  delete get['operationId']
  get['responses'] = { 200: { description: 'x', content: { 'application/json': { schema: { type: 'string' }, example: 1 } } } }
  const { totals } = await lint(document)
  expect(totals.errors + totals.warnings).toBeGreaterThan(2)
})
