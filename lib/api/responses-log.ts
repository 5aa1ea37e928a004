import type { RunState, StopReason } from '#lib/core/run'
import type { OutFrame } from '#lib/api/reader'
import { approvalItem, callItem, callResult, messageItem, textPart, type OutputItem } from '#lib/api/responses-items'
import { responseIdOf, responseObject, statusOf, type Ending, type ResponseHead } from '#lib/api/responses-object'
import { atRow, live, notServed, numberOf, offsetOf, shownAt, wholeText, type Position } from '#lib/api/responses-position'

/** One event of a response's stream. */
export interface ResponseEvent extends Record<string, unknown> {
  type: string
  sequence_number: number
}

/** A text that is being shown and has no row yet. */
interface Partial {
  item: OutputItem
  index: number
  /** The row after which it began: its numbers are made from it. */
  base: number
  /** How much of it is shown, in UTF-16 units. */
  shown: number
  /** What is shown of it; null where this stream goes on from one that showed it. */
  text: string | null
}

/**
 * Turns the events of one run into those of an OpenAI response. Pure, and the same rows give the same events under the same numbers in
 * any process: live text is numbered by the row before it. Texts that are given up leave an item without content, `incomplete`; which
 * ones there were is read from rows alone, so that the indexes of later items are the same for who saw less.
 */
export class ResponseLog {
  private readonly items: OutputItem[] = []
  private readonly calls = new Map<string, number>()
  private readonly approvals = new Map<string, string>()
  private partial: Partial | null = null
  private row = 0
  private cut = false
  private out: ResponseEvent[] = []
  private readonly head: ResponseHead
  private readonly from: Position | null
  private readonly liveText: boolean
  private reached: boolean
  ending: Ending | null = null
  /** Nothing runs until somebody answers. */
  paused = false

  /**
   * `from`: the last place that the reader has seen; without it a stream begins at the beginning. `liveText` false: a hook may still
   * replace the text of an answer, so that none is shown before it is stored.
   */
  constructor(head: ResponseHead, { from = null, liveText = true }: { from?: Position | null; liveText?: boolean } = {}) {
    this.head = head
    this.from = from
    this.liveText = liveText
    this.reached = from === null || from.seq === 0
    if (from?.seq === 0 && from.offset > 1) throw notServed(from)
  }

  /** What comes before all rows. */
  begin(): ResponseEvent[] {
    const response = this.snapshot([], this.head.queued ? 'queued' : 'in_progress')
    this.add(0, 0, 'response.created', { response })
    if (this.head.queued) this.add(0, 1, 'response.queued', { response })
    return this.take()
  }

  /** What a frame of the run's event stream shows. Throws BatonError invalid_cursor where the reader's place cannot be one. */
  frame({ id, type, data }: OutFrame): ResponseEvent[] {
    if (id !== undefined) this.event(id, type, data)
    else if (type === 'text_delta') this.delta(textIn(data), Number(data['offset'] ?? 0))
    return this.take()
  }

  /** After the last row that there is. Throws BatonError invalid_cursor where the reader's place lies beyond. */
  caughtUp(): void {
    if (!this.reached && this.from !== null) throw notServed(this.from)
  }

  /** The response as it stands. */
  response(): Record<string, unknown> {
    const output = this.items.filter((item) => item !== this.partial?.item)
    return this.snapshot(output, this.head.queued ? 'queued' : 'in_progress')
  }

  private event(seq: number, type: string, data: Record<string, unknown>): void {
    const { from } = this
    if (type === 'state_changed') this.paused = data['state'] === 'paused'
    this.show(seq, type, data)
    this.row = seq
    if (from === null || seq !== from.seq) return
    this.reached = true
    this.resumeAt(from)
  }

  private show(seq: number, type: string, data: Record<string, unknown>): void {
    switch (type) {
      case 'state_changed':
        if (data['state'] !== 'ready') this.add(seq, 0, 'response.in_progress', { response: this.snapshot([]) })
        return
      case 'text_end':
        return this.textEnd(seq, textIn(data))
      case 'tool_start':
        return this.toolStart(seq, String(data['callId']), String(data['name']), data['input'])
      case 'tool_end':
        return this.toolEnd(seq, (data['call'] ?? {}) as Record<string, unknown>)
      case 'approval_required':
        return this.approval(seq, data)
      case 'retry':
        // At a gate nothing has been tried.
        if (data['gate'] !== true) this.giveUp(seq)
        return
      case 'handed_off':
        this.cut = data['reason'] === 'hard_limit' || data['reason'] === 'shutdown'
        return
      case 'resumed':
        if (this.cut || data['strategy'] === 'crash') this.giveUp(seq)
        this.cut = false
        return
      case 'step_complete':
        // Text that a reader says to have seen comes before this, or there was none.
        if (this.partial?.text === null && this.from !== null) throw notServed(this.from)
        if (this.partial !== null) this.giveUp(seq)
        return
      case 'window_moved':
        // The conversation did not fit: what was shown of the answer was not kept.
        if (this.partial !== null) this.giveUp(seq)
        return
      case 'done':
        return this.done(seq, data)
    }
  }

  /** Live text: what goes beyond what is shown. */
  private delta(text: string, offset: number): void {
    if (this.ending !== null || !this.liveText) return
    const shown = this.partial?.shown ?? 0
    const more = text.slice(Math.max(0, shown - offset))
    // Text whose numbers would not fit waits for its row.
    if (offset > shown || more === '' || offsetOf(shown + more.length) === null) return
    const partial = this.open()
    this.showText(partial, more)
  }

  private open(): Partial {
    if (this.partial !== null) return this.partial
    const partial: Partial = { ...this.newMessage(this.row, live.item, live.part), base: this.row, shown: 0, text: '' }
    this.partial = partial
    return partial
  }

  private newMessage(seq: number, itemAt: number, partAt: number): { item: OutputItem; index: number } {
    const index = this.items.length
    const item = messageItem(`msg_${responseIdOf(this.head.runId).slice(5)}_${index}`, 'in_progress', null)
    this.items.push(item)
    this.add(seq, itemAt, 'response.output_item.added', { output_index: index, item: { ...item } })
    this.add(seq, partAt, 'response.content_part.added', { item_id: item.id, output_index: index, content_index: 0, part: textPart('') })
    return { item, index }
  }

  private showText(partial: Partial, more: string): void {
    partial.shown += more.length
    if (partial.text !== null) partial.text += more
    this.addDelta(partial.base, offsetOf(partial.shown) ?? wholeText, partial, more)
  }

  private addDelta(seq: number, offset: number, { item, index }: Pick<Partial, 'item' | 'index'>, delta: string): void {
    const at = { item_id: item.id, output_index: index, content_index: 0 }
    this.add(seq, offset, 'response.output_text.delta', { ...at, delta, logprobs: [] })
  }

  private textEnd(seq: number, text: string): void {
    const partial = this.open()
    let { item, index } = partial
    const { from } = this
    // Only a place that was never given out is beyond the text.
    if (partial.text === null && partial.shown !== Number.POSITIVE_INFINITY && partial.shown > text.length && from !== null)
      throw notServed(from)
    if (partial.text !== null && !text.startsWith(partial.text)) {
      this.supersede(seq, atRow.replaced, partial)
      ;({ item, index } = this.newMessage(seq, atRow.item, atRow.part))
      this.addDelta(seq, atRow.text, { item, index }, text)
    } else if (partial.shown < text.length) this.showText(partial, text.slice(partial.shown))
    this.partial = null
    const at = { item_id: item.id, output_index: index, content_index: 0 }
    this.add(seq, atRow.textDone, 'response.output_text.done', { ...at, text, logprobs: [] })
    this.add(seq, atRow.partDone, 'response.content_part.done', { ...at, part: textPart(text) })
    this.replace(index, messageItem(item.id, 'completed', text))
    this.add(seq, atRow.itemDone, 'response.output_item.done', { output_index: index, item: { ...this.items[index] } })
  }

  /** A model call that was given up: its item is closed, and made where nothing was shown, for others may have seen it. */
  private giveUp(seq: number): void {
    if (this.calls.size > 0) return
    if (this.partial === null) {
      const { item, index } = this.newMessage(seq, atRow.item, atRow.part)
      this.partial = { item, index, base: seq, shown: 0, text: '' }
    }
    this.supersede(seq, atRow.itemDone, this.partial)
  }

  private supersede(seq: number, offset: number, { item, index }: Pick<Partial, 'item' | 'index'>): void {
    this.partial = null
    this.replace(index, messageItem(item.id, 'incomplete', null))
    this.add(seq, offset, 'response.output_item.done', { output_index: index, item: { ...this.items[index] } })
  }

  private toolStart(seq: number, callId: string, name: string, input: unknown): void {
    // A call that is repeated after a crash is the same call.
    if (this.calls.has(callId)) return
    const index = this.items.length
    const item = callItem(callId, name, input, this.approvals.get(callId) ?? null)
    this.items.push(item)
    this.calls.set(callId, index)
    const at = { item_id: callId, output_index: index }
    this.add(seq, 0, 'response.output_item.added', { output_index: index, item: { ...item, arguments: '' } })
    this.add(seq, 1, 'response.mcp_call.in_progress', at)
    this.add(seq, 2, 'response.mcp_call_arguments.delta', { ...at, delta: item['arguments'] })
    this.add(seq, 3, 'response.mcp_call_arguments.done', { ...at, arguments: item['arguments'] })
  }

  private toolEnd(seq: number, call: Record<string, unknown>): void {
    const callId = String(call['callId'])
    // Denied calls end without having begun.
    this.toolStart(seq, callId, String(call['name']), call['input'])
    const index = this.calls.get(callId) ?? 0
    const result = callResult(call)
    this.calls.delete(callId)
    this.replace(index, { ...this.items[index], id: callId, type: 'mcp_call', ...result })
    const outcome = result.status === 'completed' ? 'completed' : 'failed'
    this.add(seq, 4, `response.mcp_call.${outcome}`, { item_id: callId, output_index: index })
    this.add(seq, 5, 'response.output_item.done', { output_index: index, item: { ...this.items[index] } })
  }

  private approval(seq: number, data: Record<string, unknown>): void {
    const approvalId = String(data['approvalId'])
    const index = this.items.length
    const item = approvalItem(approvalId, String(data['tool']), data['input'])
    this.items.push(item)
    this.approvals.set(String(data['callId']), approvalId)
    this.add(seq, 0, 'response.output_item.added', { output_index: index, item })
    this.add(seq, 1, 'response.output_item.done', { output_index: index, item })
  }

  private done(seq: number, data: Record<string, unknown>): void {
    const cutOff = this.partial
    if (cutOff !== null) this.supersede(seq, atRow.replaced, cutOff)
    // Nobody who comes later hears of a text that the end cut off: it is the stream's last item and no part of the response.
    if (cutOff !== null) this.items.pop()
    this.ending = {
      state: data['state'] as RunState,
      stopReason: (data['stopReason'] ?? null) as StopReason | null,
      usage: data['usage'],
      error: (data['error'] ?? null) as Ending['error'],
      at: typeof data['at'] === 'string' ? data['at'] : null,
    }
    const status = statusOf(this.ending)
    // There is no event of its own for a cancelled response: its status says it.
    const type = status === 'completed' || status === 'failed' ? status : 'incomplete'
    this.add(seq, 1, `response.${type}`, { response: this.snapshot(this.items) })
  }

  /** Goes on from a place in a text that was being shown, or checks that the row has come as far. */
  private resumeAt(from: Position): void {
    const shown = shownAt(from.offset)
    if (shown === null) {
      if (from.offset > atRow.itemDone) throw notServed(from)
      return
    }
    if (this.ending !== null || this.calls.size > 0) throw notServed(from)
    const partial = this.open()
    partial.shown = shown
    partial.text = null
  }

  private replace(index: number, item: OutputItem): void {
    this.items[index] = item
  }

  private add(seq: number, offset: number, type: string, fields: Record<string, unknown>): void {
    this.out.push({ type, sequence_number: numberOf({ seq, offset }), ...fields })
  }

  /** What has been made since, without what the reader has seen. */
  private take(): ResponseEvent[] {
    const seen = this.from === null ? -1 : numberOf(this.from)
    const fresh = this.out.filter((event) => event.sequence_number > seen)
    this.out = []
    return fresh
  }

  private snapshot(output: readonly OutputItem[], open: 'queued' | 'in_progress' = 'in_progress'): Record<string, unknown> {
    const { head, ending } = this
    return responseObject(head, { output: [...output], status: ending === null ? open : statusOf(ending), ending })
  }
}

function textIn(data: Record<string, unknown>): string {
  return typeof data['text'] === 'string' ? data['text'] : ''
}
