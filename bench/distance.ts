import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { portClaims } from '#local/ports'
import { startStack } from '#local/stack'
import { load, post } from '#bench/caller'
import { startFloor } from '#bench/floor'
import { startRoad } from '#bench/road'
import { plainTurn, toolTurn } from '#bench/scripts'
import { summary, type Summary } from '#bench/stats'

/** How requests did where Supabase and Redis stand so far from the server. */
export interface Distant {
  /** Milliseconds there and back, added to each trip. */
  rttMs: number
  callers: number
  floor: Summary
  turn: Summary
  tool: Summary
}

/** From one machine to regions that are neighbours. */
const distances = [0, 2, 5, 10, 20] as const

/** Turns and the floor by one caller and by four, with the same roads to Supabase's API and to Redis for both, interleaved. */
export async function timeDistances(rounds: number): Promise<Distant[]> {
  const dataDir = await mkdtemp(join(tmpdir(), 'baton-distance-'))
  const claims = portClaims()
  const doors = { supabase: '', redis: '' }
  const [supabase, redis] = await Promise.all([startRoad(() => doors.supabase), startRoad(() => doors.redis)])
  const stack = await startStack({
    built: true,
    port: 0,
    quiet: true,
    dataDir,
    env: { SUPABASE_URL: supabase.url, UPSTASH_REDIS_REST_URL: redis.url },
  })
  doors.supabase = String(stack.info.supabaseUrl)
  doors.redis = String(stack.info.redisUrl)
  const floor = await startFloor({ ...stack.info, supabaseUrl: supabase.url }, await claims.take(0))
  try {
    const turn = async (agent: string, message: string): Promise<number> =>
      (await post(`${stack.info.baseUrls[0]}/api/agents/${agent}/messages`, { message, template: 'scripted' }, { prefer: 'wait=25' })).ms
    const kinds = {
      floor: async (caller: number) => (await post(floor.url('rpc'), { agent: `f-${caller}`, message: plainTurn })).ms,
      turn: async (caller: number) => turn(`plain-${caller}`, plainTurn),
      tool: async (caller: number) => turn(`tool-${caller}`, toolTurn),
    }
    const results: Distant[] = []
    for (const kind of Object.values(kinds)) await load(4, 10, kind)
    for (const callers of [1, 4]) {
      for (const rttMs of distances) {
        for (const road of [supabase, redis]) road.takes(rttMs)
        const seen = { floor: [] as number[], turn: [] as number[], tool: [] as number[] }
        for (let round = 0; round < rounds; round++)
          for (const kind of ['floor', 'turn', 'tool'] as const) seen[kind].push(...(await load(callers, 6, kinds[kind])))
        results.push({ rttMs, callers, floor: summary(seen.floor), turn: summary(seen.turn), tool: summary(seen.tool) })
      }
    }
    return results
  } finally {
    await floor.stop()
    claims.release()
    await stack.stop()
    await Promise.all([supabase.close(), redis.close()])
    await rm(dataDir, { recursive: true, force: true })
  }
}
