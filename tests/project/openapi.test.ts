import { describe, expect, test } from 'vitest'
import { resources } from '#lib/api/index'
import { openApiDocument } from '#lib/api/openapi/document'
import { answerFault } from '#tests/answers'
import { isTest, read, sources } from '#tests/project/sources'

interface Served {
  method: string
  path: string
}

/** The endpoint values of a module. */
async function endpointsOf(path: string): Promise<Served[]> {
  const file = `../../${path}`
  const module = (await import(file)) as Record<string, unknown>
  return Object.values(module).filter(
    (value): value is Served => typeof value === 'object' && value !== null && 'respond' in value && 'method' in value,
  )
}

const nameOf = ({ method, path }: Served): string => `${method} ${path}`
const operations = resources.flatMap(({ operations: some }) => Object.entries(some))
const documented = operations.map(([, { endpoint }]) => nameOf(endpoint))
/** Local mode is no part of the public surface; pages are read by people; Inngest's route is Inngest's. */
const isPublic = (path: string): boolean => /^\/(?:api|v1)\//.test(path) && !path.startsWith('/api/local/') && path !== '/api/inngest'

describe('the document', () => {
  test('has every endpoint value of lib/api once, and nothing else', async () => {
    const modules = sources('lib/api').filter((path) => !isTest(path))
    const served = (await Promise.all(modules.map(endpointsOf))).flat()
    expect(served.length).toBeGreaterThan(50)
    const names = [...new Set(served.filter(({ path }) => isPublic(path)).map(nameOf))]
    expect(documented.toSorted()).toEqual(names.toSorted())
  })

  test('has the address of every route', () => {
    const routes = sources('app')
      .filter((path) => path.endsWith('/route.ts') && !path.includes('[...'))
      .map((path) =>
        path
          .replace(/^app/, '')
          .replace(/\/route\.ts$/, '')
          .replaceAll(/\[(\w+)\]/g, '{$1}'),
      )
    const paths = new Set(operations.map(([, { endpoint }]) => endpoint.path))
    expect(routes.filter((path) => isPublic(path) && !paths.has(path))).toEqual([])
    expect([...paths].filter((path) => !routes.includes(path))).toEqual([])
  })

  test('names each operation once and keeps their descriptions out of the routes', () => {
    const ids = operations.map(([id]) => id)
    expect(ids.length).toBe(new Set(ids).size)
    const describing = sources('lib/api', 'app').filter(
      (path) =>
        !path.startsWith('lib/api/openapi/') && path !== 'lib/api/index.ts' && /from '#lib\/api\/(?:openapi\/|index)/.test(read(path)),
    )
    expect(describing).toEqual([])
  })

  test('has parameters whose names the caller makes in a form that generated clients send as they are', () => {
    const found = openApiDocument().paths?.['/api/agents']?.get?.parameters?.find((one) => 'name' in one && one.name === 'metadata')
    // An exploded form sends the members of an object, each under its own name.
    expect(found).toMatchObject({ in: 'query', style: 'form', explode: true, example: {} })
    const { propertyNames, ...schema } = (found as { schema: { propertyNames: { pattern: string } } }).schema
    expect(schema).toEqual({ type: 'object', additionalProperties: { type: 'string' } })
    const fits = (name: string): boolean => new RegExp(propertyNames.pattern).test(name)
    expect(['metadata.customer', 'metadata.a.b', 'customer', 'metadata', 'metadataX'].map(fits)).toEqual([true, true, false, false, false])
  })

  test('is the same each time it is made', () => {
    expect(JSON.stringify(openApiDocument()).length).toBeGreaterThan(50_000)
    expect(openApiDocument()).toMatchObject({ openapi: '3.1.1' })
  })
})

describe.each(operations)('%s', (_id, { endpoint, answers, example }) => {
  test('has examples that fit', () => {
    const path = endpoint.path.replaceAll(/\{\w+\}/g, 'x')
    for (const [status, { content }] of Object.entries(answers)) {
      for (const [mediaType, { example: shown }] of Object.entries(content)) {
        expect(shown).toBeDefined()
        expect(answerFault(endpoint.method, path, Number(status), mediaType, shown)).toBeNull()
      }
    }
    if (endpoint.body !== null && !endpoint.body.safeParse(undefined).success) expect(example).toBeDefined()
    if (example !== undefined) expect(endpoint.body?.safeParse(example).error).toBeUndefined()
  })
})

describe('what does not fit', () => {
  const agent = { status: 'ok' }
  test.each([
    ['a field renamed', 'GET', '/api/health/live', 200, 'application/json', { living: true }],
    ['a field too many', 'GET', '/api/health/live', 200, 'application/json', { alive: true, more: 1 }],
    ['another status', 'GET', '/api/health/live', 418, 'application/json', { alive: true }],
    ['another media type', 'GET', '/api/health/live', 200, 'text/html', undefined],
    ['an address that is not documented', 'GET', '/api/nothing', 200, 'application/json', agent],
    ['a method that is not documented', 'PATCH', '/api/health/live', 200, 'application/json', agent],
    ['a problem without its code', 'GET', '/api/agents/x', 404, 'application/problem+json', { status: 404 }],
  ])('%s is told', (_what, method, path, status, mediaType, body) => {
    expect(answerFault(method, path, status, mediaType, body)).not.toBeNull()
  })
})
