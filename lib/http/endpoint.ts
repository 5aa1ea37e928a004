import { z } from 'zod'
import type { Config } from '#lib/core/config'
import type { AccessPort, Clock, Ids, Log, Metrics, Telemetry } from '#lib/core/ports'
import type { RateLimits } from '#lib/core/rate'
import type { Redact } from '#lib/core/redact'
import type { Body as GivenBody } from '#lib/http/body'
import { withFields, type Access, type Caller } from '#lib/http/caller'
import { readIdempotencyKey, readIfMatchAny } from '#lib/http/prefer'
import type { Prefer } from '#lib/http/prefer'
import type { ShapeError } from '#lib/http/problem'
import { check, refuse, strictly } from '#lib/http/validate'
import type { FieldProblem } from '#lib/http/validate'
import { BatonError } from '#lib/core/errors'

/** The HTTP methods that endpoints may have. */
export const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const
/** One of the HTTP methods. */
export type Method = (typeof methods)[number]

/** The least that the HTTP layer needs; handlers get whatever richer services they were bound with. */
export interface HttpServices {
  config: Config
  log: Log
  redact: Redact
  clock: Clock
  ids: Ids
  access: AccessPort
  rates: Pick<RateLimits, 'request'>
  metrics: Metrics
  telemetry: Telemetry
  /** Resolves when the sends that have begun have ended, well or badly; never rejects. */
  settled(): Promise<void>
  /** True from SIGTERM on. */
  ending: () => boolean
}

/** What every handler is given besides the checked parts of the request. */
export interface Surroundings<Services> {
  request: Request
  caller: Caller
  services: Services
  requestId: string
  prefer: Prefer
  /** Hands over work that goes on after the answer; its failure is logged. */
  background: (work: Promise<unknown>) => void
}

/** What a handler is given: the parts of the request, typed by the endpoint's schemas. */
export interface EndpointContext<Services, Params, Query, Body> extends Surroundings<Services> {
  params: Params
  query: Query
  body: Body
  /** The body's text as it came, null without one. */
  rawBody: string | null
  /** The Idempotency-Key, null without one; read for methods other than GET. */
  idempotencyKey: string | null
}

/** A request before its parts are checked: parameters decoded, body parsed. */
export interface Incoming<Services> extends Surroundings<Services> {
  url: URL
  params: Record<string, string>
  body: GivenBody
}

/** What an author writes: the address, the schemas of the parts, and the handler. What it answers is told in lib/api/openapi. */
export interface EndpointDefinition<Services, Params extends z.ZodObject, Query extends z.ZodObject, Body extends z.ZodType> {
  method: Method
  /** As in OpenAPI: `/api/agents/{id}/messages`. */
  path: string
  summary: string
  access?: Access
  /** The body fields that a signed-in user may set, none by default; others are refused with 403 and audited. */
  userFields?: readonly string[]
  /** `message`: the request sends one, to the agent that `{id}` names where it does; it counts against limits of messages too. */
  counts?: 'message'
  /** Of a dialect: its own shape of errors instead of problem documents, also where the request does not come as far as the handler. */
  shapeError?: ShapeError
  params?: Params
  query?: Query
  body?: Body
  /** The answer of an endpoint that depends on nothing: given also where the services cannot be made. */
  alone?: () => Response
  handler(context: EndpointContext<Services, z.output<Params>, z.output<Query>, z.output<Body>>): Promise<Response> | Response
}

/** An endpoint as a value: `handle` serves it, OpenAPI is made from its schemas. */
export interface Endpoint<Services> {
  readonly method: Method
  readonly path: string
  readonly summary: string
  readonly access: Access
  readonly counts: 'message' | 'request'
  readonly shapeError: ShapeError | undefined
  readonly params: z.ZodObject
  readonly query: z.ZodObject
  /** Null for methods whose bodies are not read (GET, and DELETE without a schema). */
  readonly body: z.ZodType | null
  readonly alone: (() => Response) | null
  /** Checks all parts of the request at once and calls the handler. Throws BatonError validation with every problem, precondition_failed for an entity tag. */
  respond(incoming: Incoming<Services>): Promise<Response>
}

const noFields = z.strictObject({})
const emptyBody = z.strictObject({}).optional()

/** Gives the `endpoint` function for a set of services: `const endpoint = endpointsFor<Services>()`. */
export function endpointsFor<Services extends HttpServices>() {
  return function endpoint<
    Params extends z.ZodObject = typeof noFields,
    Query extends z.ZodObject = typeof noFields,
    Body extends z.ZodType = typeof emptyBody,
  >(definition: EndpointDefinition<Services, Params, Query, Body>): Endpoint<Services> {
    const { method, path, summary, access = 'caller', userFields = [], counts = 'request', shapeError } = definition
    const name = `${method} ${path}`
    // Where a schema is left out its type parameter is the default, so that these three assertions hold.
    const params = definition.params ?? (noFields as z.ZodType as Params)
    const query = strictly(definition.query ?? (noFields as z.ZodType as Query), `${name} query`)
    const bodySchema = strictly(definition.body ?? (emptyBody as z.ZodType as Body), `${name} body`)
    const takesBody = definition.body !== undefined || (method !== 'GET' && method !== 'DELETE')
    const placeholders = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1])
    const fields = Object.keys(params.shape)
    if (
      placeholders.length !== fields.length ||
      !placeholders.every((placeholder) => placeholder !== undefined && fields.includes(placeholder))
    )
      throw new TypeError(`${name}: params must have exactly the fields of the path`)

    return {
      method,
      path,
      summary,
      access,
      counts,
      shapeError,
      alone: definition.alone ?? null,
      params,
      query,
      body: takesBody ? bodySchema : null,
      async respond({ url, params: givenParams, body: given, ...surroundings }) {
        // Who names an entity tag must not believe that nothing has changed meanwhile, wherever it is.
        if (method !== 'GET') readIfMatchAny(surroundings.request.headers)
        const problems: FieldProblem[] = []
        const checkedParams = check('path', params, givenParams, problems)
        const checkedQuery = check('query', query, queryOf(url, access), problems)
        const checkedBody = check('body', bodySchema, takesBody ? given.value : undefined, problems)
        const idempotencyKey = method === 'GET' ? null : keyOf(surroundings.request.headers, problems)
        if (problems.length > 0 || checkedParams === undefined || checkedQuery === undefined || checkedBody === undefined) refuse(problems)
        const parts = {
          params: checkedParams.value,
          query: checkedQuery.value,
          body: checkedBody.value,
          rawBody: given.text,
          idempotencyKey,
        }
        const caller = withFields(surroundings.caller, checkedBody.value, userFields)
        return definition.handler({ ...surroundings, ...parts, caller })
      },
    }
  }
}

/** Query parameters as an object: text, or a list where a name is repeated. A stream token is for `authenticate` alone. */
function queryOf(url: URL, access: Access): Record<string, string | string[]> {
  const names = new Set(url.searchParams.keys())
  if (access === 'agent-stream' || access === 'run-stream') names.delete('token')
  const entries = [...names].map((name): [string, string | string[]] => {
    const [first = '', ...more] = url.searchParams.getAll(name)
    return [name, more.length === 0 ? first : [first, ...more]]
  })
  return Object.fromEntries(entries)
}

function keyOf(headers: Headers, problems: FieldProblem[]): string | null {
  try {
    return readIdempotencyKey(headers)
  } catch (error) {
    if (!(error instanceof BatonError)) throw error
    problems.push({ in: 'header', path: '/idempotency-key', message: error.message })
    return null
  }
}
