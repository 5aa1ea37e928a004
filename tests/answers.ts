import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { inject } from 'vitest'

/*
 * Every answer of a server under test is held against the OpenAPI document (tests/global-setup.ts): status, media type, and every JSON body.
 */

type Json = Record<string, unknown>

const document = inject('openapi') as {
  paths: Record<string, Record<string, { responses: Record<string, Json> }>>
  components: { responses: Record<string, Json> }
}
// The document as a whole is no JSON schema: looking at it as one finds nothing and costs every process a tenth of a second.
const ajv = new Ajv2020({ strict: false, allErrors: true, validateSchema: false })
addFormats.default(ajv)
ajv.addSchema({ $id: 'openapi', ...document })

const templates = Object.keys(document.paths)
  .map((path) => ({ path, pattern: new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`) }))
  .toSorted((left, right) => left.path.split('{').length - right.path.split('{').length)

const pointer = (...keys: string[]): string =>
  `openapi#/${keys.map((key) => encodeURIComponent(key.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')}`

function mismatch(at: string, body: unknown): string | null {
  const validate = ajv.getSchema(at) ?? ajv.compile({ $ref: at })
  if (validate(body) === true) return null
  const lines = (validate.errors ?? [])
    .slice(0, 8)
    .map(({ instancePath, message, params }) => `  ${instancePath || '(whole)'} ${message} ${JSON.stringify(params)}`)
  return `${lines.join('\n')}\n  body: ${JSON.stringify(body).slice(0, 1_500)}`
}

/** What an answer breaks, in words; null where it fits. Addresses that are not in the document may only be refused. */
export function answerFault(method: string, path: string, status: number, mediaType: string, body: unknown): string | null {
  const name = `${method} ${path} answered ${status} ${mediaType}`
  const template = templates.find(({ pattern }) => pattern.test(path))
  const operation = template === undefined ? undefined : document.paths[template.path]?.[method.toLowerCase()]
  const isProblem = mediaType === 'application/problem+json'
  if (template === undefined || operation === undefined) {
    // Where there is nothing, a dialect says so in its own shape.
    const shape = path.startsWith('/v1/') && mediaType === 'application/json' ? 'OpenAIError' : 'Problem'
    if ((!isProblem && shape === 'Problem') || ![400, 404, 405, 503].includes(status)) return `${name}, which is not documented`
    const found = mismatch(pointer('components', 'schemas', shape), body)
    return found === null ? null : `${name}, which is no ${shape}:\n${found}`
  }
  const where = `${name} (${template.path})`
  const key = String(status)
  const response = operation.responses[key]
  if (response === undefined) return `${where}: the document has no such status for it\n  body: ${JSON.stringify(body)?.slice(0, 500)}`
  const shared = typeof response['$ref'] === 'string' ? (response['$ref'].split('/').at(-1) ?? '') : null
  const place = shared === null ? ['paths', template.path, method.toLowerCase(), 'responses', key] : ['components', 'responses', shared]
  const content = (shared === null ? response : document.components.responses[shared])?.['content'] as Json | undefined
  if (mediaType === '') return content === undefined ? null : `${where}: the document promises a body`
  if (content === undefined || !(mediaType in content))
    return `${where}: the document has ${Object.keys(content ?? {}).join(', ') || 'no body'}`
  if (body === undefined) return null
  const found = mismatch(pointer(...place, 'content', mediaType, 'schema'), body)
  return found === null ? null : `${where} does not fit the document:\n${found}`
}

const faults: string[] = []

/** What a frame of an event stream breaks; null where its event is one of the document. */
export function eventFault(data: unknown): string | null {
  const found = mismatch(pointer('components', 'schemas', 'Event'), data)
  return found === null ? null : `an event of a stream does not fit the document:\n${found}`
}

/** Throws where the event of a frame is none of the document. */
export function checkEvent(data: unknown): void {
  const fault = eventFault(data)
  if (fault !== null) fail(fault)
}

function fail(fault: string): never {
  faults.push(fault)
  throw new Error(fault)
}

const notOurs = /^\/api\/(?:local|inngest)(?:\/|$)/
const servers = new Set<() => readonly string[]>()

async function look(request: Request | string | URL, init: RequestInit | undefined, response: Response): Promise<void> {
  const method = (init?.method ?? (request instanceof Request ? request.method : 'GET')).toUpperCase()
  const url = new URL(response.url || (request instanceof Request ? request.url : String(request)))
  if (![...servers].some((of) => of().includes(url.origin))) return
  const path = url.pathname.replace(/(?<=.)\/$/, '')
  if (!/^\/(?:api|v1)\//.test(path) || notOurs.test(path) || method === 'HEAD' || method === 'OPTIONS') return
  // Node itself, before Baton: headers that are too long.
  if (response.status === 431) return
  const mediaType = (response.headers.get('content-type') ?? '').split(';')[0]?.trim() ?? ''
  const isJson = mediaType === 'application/json' || mediaType === 'application/problem+json'
  // A body that breaks off is the caller's to see.
  const text = isJson
    ? await response
        .clone()
        .text()
        .catch(() => null)
    : null
  if (isJson && text === null) return
  const isEmpty = text === '' || response.body === null
  const body: unknown = text === null || isEmpty ? undefined : JSON.parse(text)
  const fault = answerFault(method, path, response.status, isEmpty ? '' : mediaType, body)
  if (fault !== null) fail(fault)
}

const original = globalThis.fetch
const checked: typeof fetch = async (input, init) => {
  const response = await original(input, init)
  await look(input, init, response)
  return response
}

/** From now on every answer that this process gets from these origins by fetch is checked; gives the function that ends it and throws what was found. */
export function checkAnswers(origins: () => readonly string[]): () => void {
  if (servers.size === 0) globalThis.fetch = checked
  servers.add(origins)
  return () => {
    servers.delete(origins)
    if (servers.size === 0) globalThis.fetch = original
    // Again here, because tests that poll swallow what a single request throws.
    const found = faults.splice(0)
    if (found.length > 0) throw new Error(`${found.length} answers do not fit the OpenAPI document, the first: ${found[0]}`)
  }
}
