import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { z } from 'zod'
import { readBody, sendWebResponse, toWebRequest } from '#local/parts/http'
import { poll } from '#local/poll'
import { ask, begin, close, interceptOutwardCalls, within, type Fate, type Life } from '#tests/crash/life'
import { stageEnv, type Stage } from '#tests/crash/stage'
import { startWorld, type EffectLine } from '#tests/world'

const root = join(import.meta.dirname, '../..')
const largestBody = 32 * 1024 * 1024
const event = z.object({ event: z.object({ data: z.looseObject({ agentUid: z.string().optional(), deliveryId: z.string().optional() }) }) })
const executorState = z.object({ servers: z.array(z.looseObject({ live: z.boolean() })) })

/** Starts a stack whose servers are lives of this process, so that a death and a new beginning cost milliseconds. `env` is the servers'. */
export async function startLives(env: Record<string, string>): Promise<Stage> {
  let lives: Life[] = []
  // What the executor repeats after many seconds belongs to earlier performances: the caretaker answers it.
  const past = new Set<string>()
  const current = new Set<string>()
  async function answer(index: number, request: Request, body: string): Promise<Response> {
    const parsed = body === '' ? null : event.safeParse(JSON.parse(body))
    const data = parsed?.success === true ? parsed.data.event.data : {}
    const id = data.agentUid ?? data.deliveryId
    if (id === undefined || past.has(id)) return ask(caretaker, request)
    current.add(id)
    return ask(lives[index] ?? caretaker, request)
  }
  const servers = await Promise.all([0, 1].map((index) => listen((request, body) => answer(index, request, body))))
  const urls = servers.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const executor = pathToFileURL(join(root, 'local/parts/executor.ts')).href
  const world = await startWorld({
    env: { ...env, ...stageEnv },
    serverCommand: [process.execPath, join(root, 'local/fixtures/stand-in.ts')],
    executorCommand: [
      process.execPath,
      '--input-type=module',
      '-e',
      `process.env.EXECUTOR_APP_URLS = '${urls.join(',')}'; await import('${executor}')`,
    ],
  })
  const { NODE_ENV: _ours, ...told } = z.record(z.string(), z.string()).parse(await (await fetch(`${world.base()}/env`)).json())
  Object.assign(process.env, told)
  const { supabaseUrl, redisUrl, inngestUrl } = world.stack.info
  interceptOutwardCalls({ supabaseUrl: supabaseUrl ?? '', redisUrl: redisUrl ?? '', inngestUrl: inngestUrl ?? '' })
  // Never dies and takes no part: it sweeps, looks at what is left, and answers what belongs to nobody any more.
  const caretaker = await begin({ deaths: [], gates: new Map(), calls: [], flying: new Set(), onDeath: () => undefined })
  const registered = async (): Promise<boolean> =>
    executorState.parse(await (await fetch(`${inngestUrl}/state`)).json()).servers.every(({ live }) => live)
  if (!(await poll(registered, { everyMs: 50, forMs: 60_000 }))) throw new Error('the executor has not registered the servers')

  let fate: Fate = caretaker.fate
  let name = ''
  let given: Readonly<Record<string, string>> = {}
  const revivals: Promise<void>[] = []
  const dead = (): Life[] => fate.deaths.flatMap(({ life }) => life ?? [])
  async function revive(dead: Life): Promise<void> {
    const index = lives.indexOf(dead)
    lives[index] = await begin(fate)
  }
  return {
    world,
    async begin(points, agent, env) {
      await Promise.all(lives.map(close))
      for (const id of current) past.add(id)
      current.clear()
      name = agent
      for (const key of Object.keys(given)) delete process.env[key]
      given = env
      Object.assign(process.env, told, given)
      const deaths = points.map((point) => ({ point, life: null }))
      fate = { deaths, gates: new Map(), calls: [], flying: new Set(), onDeath: (life) => void revivals.push(revive(life)) }
      lives = await Promise.all([begin(fate), begin(fate)])
    },
    ask: (server, request) => ask(lives[server] ?? caretaker, request),
    look: (request) => ask(caretaker, request),
    async net() {
      const fallen = dead()
      if (fallen.length === 0) return
      const said = fallen.flatMap((life) => [...life.said])
      await world.sql(
        'update baton.agents set lease_until = baton.clock() where id = $1 and lease_owner = any($2) and lease_until > baton.clock()',
        [name, said],
      )
      // A worker that died holds its delivery for a minute.
      await world.sql(
        `update baton.webhook_deliveries set next_at = baton.clock() where id = any($1) and state = 'pending' and next_at > baton.clock() + interval '30 s'`,
        [said],
      )
      await within(caretaker, () => caretaker.services.sweep('beside'))
    },
    async end() {
      // Who hears of its last call now dies of it, or does not.
      while (fate.flying.size > 0) await Promise.allSettled(fate.flying)
      await Promise.all(revivals.splice(0))
      await Promise.all(lives.filter((life) => !life.dead).map(({ services }) => services.settled()))
      return fate.deaths.map(({ life }) => life !== null)
    },
    calls: () => fate.calls,
    gate(call) {
      const { promise, resolve } = Promise.withResolvers<void>()
      fate.gates.set(call, promise)
      return resolve
    },
    effects: async () => (await caretaker.services.local?.effects({})) as EffectLine[],
    advance: async (ms) => void (await caretaker.services.local?.time(ms)),
    async close() {
      await Promise.all([...lives, caretaker].map(close))
      // Each life has told what it does at SIGTERM; this process ends by itself.
      globalThis.batonLastWorks?.clear()
      for (const server of servers) server.closeAllConnections()
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
      await world.close()
    },
  }
}

/** A port of this process. Where the answer rejects, the connection breaks. */
async function listen(answer: (request: Request, body: string) => Promise<Response>): Promise<Server> {
  const server = createServer((request, response) => {
    readBody(request, largestBody)
      .then((body) => answer(toWebRequest(request, body.length === 0 ? undefined : body), body.toString()))
      .then((answered) => sendWebResponse(answered, response))
      .catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}
