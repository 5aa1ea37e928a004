import { createServer } from 'node:http'
import { verifyWebhook } from 'baton-client'

/*
 * Receives Baton's webhooks with nothing but Node: WEBHOOK_SECRET=whsec_... PORT=8787 node server.js
 * Register it once: POST /api/webhooks {"url": "https://this-server/webhooks"}; the answer has the secret.
 */

const secret = process.env.WEBHOOK_SECRET
if (secret === undefined) throw new Error('WEBHOOK_SECRET is not set')
const mostBytes = 1_000_000

/** Deliveries come at least once: what has been handled is only acknowledged. A real receiver keeps the ids in its database. */
const handled = new Set()

function handle({ type, data }) {
  if (type === 'run.completed') console.log(`run ${data.runId} of ${data.agentId}: ${data.output}`)
  else console.log(`${type} ${data.runId ?? ''}`)
}

/** The body exactly as it came: the signature is about its bytes. */
async function bodyOf(request) {
  const chunks = []
  let size = 0
  for await (const chunk of request) {
    size += chunk.length
    if (size > mostBytes) throw new Error('too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

async function receive(request, response) {
  if (request.method !== 'POST' || request.url !== '/webhooks') return response.writeHead(404).end()
  try {
    const { id, event } = await verifyWebhook(await bodyOf(request), request.headers, secret)
    if (!handled.has(id)) handle(event)
    handled.add(id)
    response.writeHead(204).end()
  } catch (error) {
    console.error(`refused: ${error.message}`)
    response.writeHead(400).end()
  }
}

const server = createServer((request, response) => void receive(request, response))
server.requestTimeout = 10_000
server.listen(Number(process.env.PORT ?? 8787), () => console.log(`listening on ${server.address().port}`))
