import { createServer } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { isFree, portClaims, type PortClaims } from '#local/ports'

const made: PortClaims[] = []
const claims = (): PortClaims => {
  const fresh = portClaims()
  made.push(fresh)
  return fresh
}

afterEach(() => {
  for (const one of made.splice(0)) one.release()
})

test('two stacks that choose at the same time never get the same port, though neither listens yet', async () => {
  const wish = await claims().take(0)
  made.at(-1)?.release()
  const [one, two] = await Promise.all([claims().take(wish, 3), claims().take(wish, 3)])
  expect(Math.abs(one - two)).toBeGreaterThanOrEqual(3)
})

test('a port somebody listens on is passed over, and given back ports are free again', async () => {
  const server = createServer()
  const wish = await claims().take(0)
  made.at(-1)?.release()
  await new Promise<void>((done, failed) => server.once('error', failed).listen(wish, '127.0.0.1', done))
  expect(await isFree(wish)).toBe(false)
  expect(await claims().take(wish)).not.toBe(wish)
  await new Promise((done) => server.close(done))
  // Another test may have drawn it meanwhile.
  expect((await claims().take(wish)) === wish || !(await isFree(wish))).toBe(true)
})
