import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { sendAlert } from '#lib/webhooks/alert'

test('an alert is sent again only where that may help: not after a refusal of ours or of theirs', async () => {
  const server = createServer((request, response) => response.writeHead(Number(request.url?.slice(1))).end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const send = (url: string) => sendAlert({ url, text: 'Baton is degraded.', id: 'msg_1', now: 1_800_000_000, local: true })
  try {
    for (const status of [500, 503, 408, 429]) expect(await send(`${base}/${status}`)).toMatchObject({ ok: false, again: true })
    for (const status of [400, 404, 410]) expect(await send(`${base}/${status}`)).toMatchObject({ ok: false, again: false })
    expect(await send(`${base}/200`)).toEqual({ ok: true, again: false, error: null })
    expect(await send('http://10.0.0.1/')).toMatchObject({ ok: false, again: false })
  } finally {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  expect(await send(`${base}/200`)).toMatchObject({ ok: false, again: true })
})
