import { setTimeout as sleep } from 'node:timers/promises'
import { createParser } from 'eventsource-parser'
import { Client } from '#lib/api/reader.fixture'
import { checkEvent } from '#tests/answers'
import type { Row } from '#tests/crash/normal'
import { Broken } from '#tests/crash/stage'

/** Opens a connection of a reader; `headers` say what it has seen. */
export type Connect = (attempt: number, headers: Record<string, string>) => Promise<Response>

/** Somebody who follows a run to its end over as many connections as it takes, as an EventSource does, and checks each frame. */
export class Reader {
  readonly client = new Client()
  /** The durable events as they came. */
  readonly events: Row[] = []
  /** How often it was told to drop what it had of a step. */
  resets = 0
  runId: string | null = null
  private last: string | null = null
  private ended = false

  /** True when so much of the text in hand is shown. */
  shows(text: string): boolean {
    return this.client.text === text
  }

  /** Reads until the run has ended and the server says that there is nothing more (204). Throws where a frame is wrong. */
  async toTheEnd(connect: Connect): Promise<void> {
    for (let attempt = 0; attempt < 500; attempt++) {
      const response = await answered(connect(attempt, this.last === null ? {} : { 'last-event-id': this.last }))
      if (response?.status === 204 && this.ended) return
      if (response !== null && response.status < 500) {
        if (response.status !== 200 || this.ended) throw new Error(`a reader got ${response.status}: ${await response.text()}`)
        this.runId ??= response.headers.get('x-baton-run-id')
        await this.read(response.body as ReadableStream<Uint8Array>)
        this.client.reconnect()
      } else await sleep(20)
    }
    throw new Error(`a reader did not come to the end; it has ${this.client.ids.join()}`)
  }

  private async read(body: ReadableStream<Uint8Array>): Promise<void> {
    const parser = createParser({
      onEvent: ({ id, event, data: text }) => {
        const data = JSON.parse(text) as Row
        checkEvent(data)
        const type = event ?? String(data['type'])
        this.client.take({ type, data, ...(id === undefined ? {} : { id: Number(id) }) })
        if (type === 'step_reset') this.resets += 1
        if (id === undefined) return
        this.last = id
        this.events.push(data)
        if (type === 'done') this.ended = true
      },
    })
    const decoder = new TextDecoder()
    const pieces = body.getReader()
    for (;;) {
      const piece = await answered(pieces.read())
      if (piece === null || piece.done) return
      parser.feed(decoder.decode(piece.value, { stream: true }))
    }
  }
}

/** Null where the connection broke. */
async function answered<Answer>(asked: Promise<Answer>): Promise<Answer | null> {
  try {
    return await asked
  } catch (error) {
    if (error instanceof Broken || (error instanceof DOMException && error.name === 'AbortError')) return null
    throw error
  }
}
