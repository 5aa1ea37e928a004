import type { Check } from '#scripts/chaos/checks/evidence'

interface Part {
  type: string
  toolCallId?: string
}

/** What is wrong with a conversation: each tool call of an answer has exactly one result, in order, in the very next message. */
function conversationFaults(messages: readonly { role: string; content: unknown }[]): string[] {
  const faults: string[] = []
  let open: string[] = []
  for (const [index, { role, content }] of messages.entries()) {
    const parts = Array.isArray(content) ? (content as Part[]) : []
    if (role === 'tool') {
      const results = parts.map((part) => part.toolCallId ?? '')
      if (results.join() !== open.join())
        faults.push(`message ${index + 1}: results of [${results.join()}] where calls are [${open.join()}]`)
      open = []
      continue
    }
    if (open.length > 0) faults.push(`message ${index + 1}: calls [${open.join()}] have no results`)
    open = parts.filter((part) => part.type === 'tool-call').map((part) => part.toolCallId ?? '')
  }
  if (open.length > 0) faults.push(`the last calls [${open.join()}] have no results`)
  return faults
}

/** Each call of each conversation has its one result, in order. */
export const historyCheck: Check = {
  invariant: 5,
  name: 'a call dangles in the history',
  async find({ sql, agents }) {
    const rows = await sql(
      `select a.id, m.role, m.content from baton.messages m join baton.agents a using (agent_uid)
      where a.id = any(coalesce($1, array[a.id])) order by a.id, m.seq`,
      [agents],
    )
    const conversations = Map.groupBy(rows as unknown as { id: string; role: string; content: unknown }[], (row) => row.id)
    return [...conversations].flatMap(([id, messages]) => conversationFaults(messages).map((fault) => `${id}: ${fault}`))
  },
}
