import { expect, test } from 'vitest'
import { ask } from '#lib/api/ask.fixture'
import { getSession } from '#lib/api/session'
import { deployTemplates } from '#lib/engine/templates'
import { testServices } from '#lib/http/services.fixture'

test.each([
  { local: true, origin: 'http://localhost:3000', status: 200 },
  { local: true, origin: 'http://rebound.example.com:3000', status: 403 },
  { local: false, origin: 'https://agents.example.com', status: 200 },
])('the console is opened by the name of its deployment, in local mode by names of loopback only: $origin', async (given) => {
  const parts = { ...testServices({ local: given.local }), templates: deployTemplates([], () => null) }
  expect((await ask(getSession, `${given.origin}/api/console/session`, parts)).status).toBe(given.status)
})
