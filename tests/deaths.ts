import { until } from '#tests/engine/helpers'
import type { World } from '#tests/world'

/** Starts a server again at once, without the supervisor's growing pause between deaths. */
export async function revive(world: World, server: number): Promise<void> {
  await world.stack.halt(`server-${server}`)
  world.stack.resume(`server-${server}`)
}

/** A SIGKILL, wherever the server is. */
export async function killOnce(world: World, server: number): Promise<void> {
  await world.stack.kill(`server-${server}`, 'SIGKILL')
  await revive(world, server)
}

/** It dies when it begins its next model call, whose usage nobody will receive. */
export async function dieInCall(world: World, server: number): Promise<void> {
  const pid = world.stack.info.pids.servers[server]
  await world.http('POST', '/api/local/crash', { at: 'before', call: 'model' }, {}, server)
  await until('the server died in a model call', () => world.stack.info.pids.servers[server] !== pid)
  await revive(world, server)
}
