import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { poll } from '#local/poll'
import { adminKey, bearer, startGuarded } from '#tests/access/kit'
import { installed, nodes, packed, type Installed } from '#tests/client/installed'
import { read, root } from '#tests/project/sources'
import type { World } from '#tests/world'

const blocks = [...read('lib/client/README.md').matchAll(/```js\n([\s\S]*?)```/g)].map(([, text = '']) => text)

let world: World
let project: Installed
beforeAll(async () => {
  world = await startGuarded()
  const { tarball, remove } = await packed()
  project = await installed(tarball)
  await remove()
})
afterAll(async () => {
  await project.remove()
  await world.close()
})

describe('the README of the client', () => {
  test('has examples', () => expect(blocks.length).toBeGreaterThanOrEqual(6))

  test.each(blocks.map((text, index) => ({ index, text })))('example $index runs and prints what it says', async ({ index, text }) => {
    const node = nodes[index % nodes.length] ?? process.execPath
    const said = await project.script(`example-${index}.js`, text, node, { BATON_URL: world.base(), BATON_KEY: adminKey })
    const promised = [...text.matchAll(/console\.log\(.*\) \/\/ (.+)$/gm)].map(([, line = '']) => line)
    for (const line of promised) expect(said).toContain(line)
  })
})

test('the webhook receiver of the examples takes what Baton sends and refuses what it does not', async () => {
  await cp(join(root, 'examples/webhook-receiver/server.js'), join(project.folder, 'server.js'))
  for (const node of nodes) {
    const secret = `whsec_${Buffer.from('a secret of the receiver').toString('base64')}`
    const child = spawn(node, ['server.js'], { cwd: project.folder, env: { ...process.env, PORT: '0', WEBHOOK_SECRET: secret } })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()))
    const until = async (pattern: RegExp): Promise<RegExpExecArray> => {
      await poll(() => pattern.test(said), { everyMs: 20, forMs: 20_000 })
      return pattern.exec(said) ?? expect.fail(`${pattern.source} is not in: ${said}`)
    }
    const [, port = ''] = await until(/listening on (\d+)/)
    const url = `http://127.0.0.1:${port}/webhooks`
    const body = { message: 'Hello', template: 'basic', webhook: { url, secret } }
    const reply = await world.http('POST', '/api/agents/receiver/messages', body, bearer(adminKey))
    expect(reply.status).toBe(200)
    await until(new RegExp(`run ${String(reply.body['runId'])} of receiver: You said: Hello`))
    const forged = await fetch(url, {
      method: 'POST',
      body: '{}',
      headers: { 'webhook-id': 'x', 'webhook-timestamp': '1', 'webhook-signature': 'v1,x' },
    })
    expect(forged.status).toBe(400)
    await until(/refused: The delivery was signed more than 300 s/)
    const exited = once(child, 'exit')
    child.kill()
    await exited
  }
})
