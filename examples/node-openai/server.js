import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import OpenAI from 'openai'

const { BATON_URL = 'http://127.0.0.1:3000', BATON_KEY, BATON_TEMPLATE = 'basic', WEBHOOK_SECRET, PORT = '4000' } = process.env
const openai = new OpenAI({ baseURL: `${BATON_URL}/v1`, apiKey: BATON_KEY, webhookSecret: WEBHOOK_SECRET })

/** The events of one answer, each once, however often functions end and connections break meanwhile. */
async function* ask(input, previous_response_id) {
  // The key makes the client's retries safe: they find the response that the first attempt has started.
  const headers = { 'Idempotency-Key': randomUUID() }
  const first = { model: BATON_TEMPLATE, input, stream: true, ...(previous_response_id && { previous_response_id }) }
  let stream = await openai.responses.create(first, { headers })
  let id
  let position
  for (let failures = 0; ;) {
    try {
      // What was seen before a break is not sent again: the stream goes on after the last number.
      stream ??= await openai.responses.retrieve(id, { stream: true, starting_after: position })
      for await (const event of stream) {
        id ??= event.response?.id
        position = event.sequence_number
        failures = 0
        yield event
      }
      return
    } catch (error) {
      if (id === undefined || error.status < 500 || ++failures > 30) throw error
      stream = undefined
      await sleep(200 * Math.min(failures, 10))
    }
  }
}

/** POST /ask {question, after?}: the answer as lines of JSON. `drop` takes back the text of an item: its attempt was given up. */
async function answer({ question, after }, response) {
  const say = (line) => response.write(`${JSON.stringify(line)}\n`)
  for await (const event of ask(question, after)) {
    // Not before the first event: a refusal still has a status of its own to be answered with.
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    if (event.type === 'response.output_text.delta') say({ item: event.output_index, text: event.delta })
    if (event.type === 'response.output_item.done') {
      const { item, output_index } = event
      if (item.type === 'message' && item.status === 'incomplete') say({ drop: output_index })
      if (item.type === 'mcp_call') say({ tool: item.name, status: item.status })
      if (item.type === 'mcp_approval_request') say({ approval: item.id, tool: item.name })
    }
    if (event.type === 'response.failed') say({ error: event.response.error })
    if (event.type === 'response.completed') say({ id: event.response.id, tokens: event.response.usage?.total_tokens })
  }
  response.end()
}

/** POST /jobs {question}: begun and not waited for. GET /jobs/{id}: how it stands. */
async function job(id, { question } = {}) {
  if (id !== undefined) return openai.responses.retrieve(id)
  const headers = { 'Idempotency-Key': randomUUID() }
  return openai.responses.create({ model: BATON_TEMPLATE, input: question, background: true }, { headers })
}

const server = createServer(async (request, response) => {
  const json = (status, body) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  const [, resource, id] = (request.url ?? '').split('/')
  try {
    const text = Buffer.concat(await Array.fromAsync(request)).toString()
    if (resource === 'webhook') {
      const event = await openai.webhooks.unwrap(text, request.headers).catch(() => null)
      if (event === null) return response.writeHead(400).end()
      console.log(`webhook ${event.type} of ${event.data.runId}`)
      return response.writeHead(204).end()
    }
    const body = text === '' ? undefined : JSON.parse(text)
    if (resource === 'ask') return await answer(body, response)
    if (resource === 'jobs') return json(200, await job(id, body))
    return json(404, { error: 'POST /ask, POST /jobs, GET /jobs/{id}, POST /webhook' })
  } catch (error) {
    if (response.headersSent) return response.destroy()
    return json(error.status ?? 500, { error: error.message, code: error.code, param: error.param })
  }
})
server.listen(Number(PORT), () => console.log(`listening on ${server.address().port}`))
