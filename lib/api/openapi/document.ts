import { createDocument } from 'zod-openapi'
import type {
  ZodOpenApiHeadersObject,
  ZodOpenApiOperationObject,
  ZodOpenApiPathsObject,
  ZodOpenApiResponseObject,
  ZodOpenApiResponsesObject,
} from 'zod-openapi'
import { errorTable } from '#lib/core/errors'
import type { ErrorCode } from '#lib/core/errors'
import { resources } from '#lib/api/index'
import type { Answer, Operation, Resource } from '#lib/api/openapi/describe'
import { requestHeaders, responseHeaders } from '#lib/api/openapi/headers'
import { plain, withoutAnonymous } from '#lib/api/openapi/plain'
import { byStatus, codesOf, exampleProblem, problem } from '#lib/api/openapi/problems'
import { sharedResponses } from '#lib/api/openapi/shared'
import { intro, security } from '#lib/api/openapi/words'

/** The OpenAPI 3.1 document of the given resources: the same in every process, without any service. */
export function documentOf(given: readonly Resource[]) {
  const paths: ZodOpenApiPathsObject = {}
  for (const { tag, operations } of given) {
    for (const [operationId, of] of Object.entries(operations)) {
      const { method, path } = of.endpoint
      paths[path] = { ...paths[path], [method.toLowerCase()]: operationObject(tag, operationId, of) }
    }
  }
  const document = createDocument(
    {
      openapi: '3.1.1',
      info: intro,
      servers: [{ url: '/', description: 'The deployment that serves this document' }],
      security: [{ bearer: [] }],
      tags: given.map(({ tag, description }) => ({ name: tag, description })),
      paths,
      components: {
        securitySchemes: security,
        schemas: { Problem: problem },
        headers: { ...responseHeaders },
        parameters: Object.fromEntries(Object.entries(requestHeaders).map(([name, header]) => [name, { name, in: 'header', ...header }])),
      },
    },
    { override: plain, allowEmptySchema: { lazy: true } },
  )
  return sharedResponses(withoutAnonymous(document))
}

let made: ReturnType<typeof documentOf> | null = null

/** The document of all endpoints, made once. */
export function openApiDocument(): ReturnType<typeof documentOf> {
  made ??= documentOf(resources)
  return made
}

function operationObject(tag: string, operationId: string, of: Operation): ZodOpenApiOperationObject {
  const { endpoint, description, example } = of
  const { access, params, query, body } = endpoint
  const hasParams = Object.keys(params.shape).length > 0
  const hasQuery = Object.keys(query.shape).length > 0
  return {
    operationId,
    tags: [tag],
    summary: endpoint.summary,
    ...(description === undefined ? {} : { description }),
    ...(access === 'open' ? { security: [] } : {}),
    ...(access === 'status' ? { security: [{}, { bearer: [] }] } : {}),
    ...(access === 'agent-stream' || access === 'run-stream' ? { security: [{ bearer: [] }, { streamToken: [] }] } : {}),
    ...(hasParams || hasQuery ? { requestParams: { ...(hasParams && { path: params }), ...(hasQuery && { query }) } } : {}),
    ...parametersOf(of),
    ...(body === null
      ? {}
      : {
          requestBody: {
            required: !body.safeParse(undefined).success,
            content: { 'application/json': { schema: body, ...(example === undefined ? {} : { example }) } },
          },
        }),
    responses: responsesOf(of),
  }
}

/** What zod's schemas do not tell: headers, and parameters whose names the caller makes. */
function parametersOf({ headers, prefixed }: Operation): Pick<ZodOpenApiOperationObject, 'parameters'> {
  const parameters: NonNullable<ZodOpenApiOperationObject['parameters']> = headers.map((name) => ({
    $ref: `#/components/parameters/${name}`,
  }))
  if (prefixed !== undefined) {
    const { prefix, description } = prefixed
    // An exploded form: each member is a parameter of its own, and the name of this one is never sent.
    parameters.push({
      name: prefix.replace(/\W+$/, ''),
      in: 'query',
      style: 'form',
      explode: true,
      description,
      schema: { type: 'object', propertyNames: { pattern: `^${prefix.replaceAll('.', '\\.')}` }, additionalProperties: { type: 'string' } },
      // Else the viewer makes up members, and sends them.
      example: {},
    })
  }
  return parameters.length === 0 ? {} : { parameters }
}

function responsesOf(of: Operation): ZodOpenApiResponsesObject {
  const responses: ZodOpenApiResponsesObject = {}
  for (const [status, answer] of Object.entries(of.answers)) responses[status as `${1 | 2 | 3 | 4 | 5}${string}`] = answerObject(of, answer)
  const refused = byStatus(codesOf(of))
  for (const status of of.refusal?.alsoStatuses ?? []) refused.set(status, refused.get(status) ?? [])
  for (const [status, codes] of refused) {
    const key = String(status) as `${4 | 5}${string}`
    const added = problemObject(of, status, codes)
    const own = responses[key]
    // Where a status has a body of its own (an unhealthy health), the problem stands beside it.
    responses[key] =
      own === undefined || !('content' in own)
        ? added
        : { ...own, description: `${own.description} Or: ${added.description}`, content: { ...own.content, ...added.content } }
  }
  return responses
}

function headersOf(of: Operation, names: readonly (keyof typeof responseHeaders)[]): ZodOpenApiHeadersObject {
  const limited = of.endpoint.access === 'open' || of.endpoint.access === 'status' ? [] : (['RateLimit', 'RateLimit-Policy'] as const)
  return Object.fromEntries([...names, ...limited, 'X-Request-Id'].map((name) => [name, { $ref: `#/components/headers/${name}` }]))
}

function answerObject(of: Operation, { description, content, headers }: Answer): ZodOpenApiResponseObject {
  return {
    description,
    headers: headersOf(of, headers),
    ...(Object.keys(content).length === 0 ? {} : { content: { ...content } }),
  }
}

function problemObject(of: Operation, status: number, codes: readonly ErrorCode[]) {
  const waits = status === 429 || status === 503
  const schema = { allOf: [{ $ref: '#/components/schemas/Problem' }, { properties: { code: { enum: [...codes] } } }] }
  const [first] = codes
  return {
    description: codes.map((code) => `\`${code}\`: ${errorTable[code][1]}`).join('. ') || 'Refused',
    headers: headersOf(of, waits ? ['Retry-After'] : []),
    content:
      of.refusal === undefined
        ? { 'application/problem+json': { schema, ...(first === undefined ? {} : { example: exampleProblem(first) }) } }
        : { ...of.refusal.content },
  }
}
