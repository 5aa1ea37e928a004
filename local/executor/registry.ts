import { registrationSchema, USE_THE_DEV_SERVER } from '#local/executor/protocol'
import { defineFunction, RegistrationRefused, type FunctionDefinition } from '#local/executor/register'

/** One app server and what it serves. */
export interface AppServer {
  readonly baseUrl: string
  /** False from the first connection it refuses or breaks until it registers again. */
  live: boolean
  functions: Map<string, FunctionDefinition>
  /** How often it has registered. */
  registrations: number
  /** Why its last registration did not succeed. */
  problem: string | null
}

/** The answer to a registration, in the SDK's form. */
export interface RegistrationAnswer {
  readonly status: number
  readonly error?: string
  readonly modified?: boolean
}

/** The app servers, what they have registered, and whose turn it is. */
export interface Registry {
  readonly servers: readonly AppServer[]
  /** Takes a registration: all its functions, or none when one of them is refused. */
  register(body: unknown, syncId: string | null): RegistrationAnswer
  /** Every registered function by id; where servers differ the latest registration counts. */
  functions(): ReadonlyMap<string, FunctionDefinition>
  /** The next live server that serves the function, in turn; null when there is none now. */
  pick(functionId: string): AppServer | null
}

/** The id under which the executor asks the n-th server to register, so that it knows who answers. */
export function syncIdOf(index: number): string {
  return `server-${index}`
}

function sameOrigin(a: string, b: string): boolean {
  const portOf = (text: string): string => (URL.canParse(text) ? new URL(text).port : text)
  return portOf(a) === portOf(b)
}

/** Makes the registry of the given servers; `onChange` runs after each registration that was taken. */
export function createRegistry(baseUrls: readonly string[], onChange: () => void): Registry {
  const servers: AppServer[] = baseUrls.map((baseUrl) => ({ baseUrl, live: false, functions: new Map(), registrations: 0, problem: null }))
  const latest = new Map<string, FunctionDefinition>()
  let turn = 0

  function accept(server: AppServer, definitions: Map<string, FunctionDefinition>): void {
    server.functions = definitions
    server.live = true
    server.registrations += 1
    server.problem = null
    for (const [id, definition] of definitions) latest.set(id, definition)
    for (const id of latest.keys()) if (!servers.some(({ functions }) => functions.has(id))) latest.delete(id)
    onChange()
  }

  return {
    servers,
    register(body, syncId) {
      const parsed = registrationSchema.safeParse(body)
      if (!parsed.success) return { status: 400, error: `this registration ${USE_THE_DEV_SERVER}: ${parsed.error.message}` }
      // A registration that somebody else asked for (a curl on the app) is recognised by its port.
      const asked = servers.find((_, index) => syncIdOf(index) === syncId)
      const server = asked ?? servers.find(({ baseUrl }) => sameOrigin(baseUrl, parsed.data.url))
      if (!server) return { status: 400, error: `${parsed.data.url} is not one of the servers this executor was started for` }
      try {
        const definitions = new Map(parsed.data.functions.map((config) => [config.id, defineFunction(config)]))
        accept(server, definitions)
        return { status: 200, modified: true }
      } catch (error) {
        if (!(error instanceof RegistrationRefused)) throw error
        server.problem = error.message
        return { status: 400, error: error.message }
      }
    },
    functions: () => latest,
    pick(functionId) {
      for (let step = 0; step < servers.length; step += 1) {
        const server = servers[(turn + step) % servers.length]
        if (!server?.live || !server.functions.has(functionId)) continue
        turn = (turn + step + 1) % servers.length
        return server
      }
      return null
    },
  }
}
