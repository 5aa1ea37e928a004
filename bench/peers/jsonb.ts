import pg from 'pg'
import type { Peer } from '#bench/peers/peer'
import { earlier } from '#bench/peers/texts'

interface Message {
  role: 'user' | 'assistant' | 'tool'
  content: unknown
}

interface ToolRecord {
  id: string
  name: string
  state: 'PENDING' | 'EXECUTING' | 'COMPLETED'
  input: unknown
  result?: unknown
}

const schema = `
create table if not exists agents (id text primary key, template_id text not null, created_at timestamptz not null default now(), updated_at timestamptz not null default now());
create table if not exists agent_messages (agent_id text primary key references agents (id), messages jsonb not null, updated_at timestamptz not null default now());
create table if not exists agent_tool_records (agent_id text primary key references agents (id), records jsonb not null, updated_at timestamptz not null default now());
create table if not exists agent_events (id bigserial primary key, agent_id text not null, channel text not null, event jsonb not null, created_at timestamptz not null default now());
create index if not exists agent_events_of on agent_events (agent_id, channel, id);`

/** The store of the KODE guide for serverless, rewritten here: an agent's messages and its tool records are one JSONB document each, read and written whole. */
function createStore(pool: pg.Pool) {
  return {
    async load<Row>(table: 'agent_messages' | 'agent_tool_records', column: 'messages' | 'records', agent: string): Promise<Row[]> {
      const { rows } = await pool.query<Record<string, Row[]>>(`select ${column} from ${table} where agent_id = $1`, [agent])
      return rows[0]?.[column] ?? []
    },
    async save(
      table: 'agent_messages' | 'agent_tool_records',
      column: 'messages' | 'records',
      agent: string,
      value: unknown,
    ): Promise<void> {
      await pool.query(
        `insert into ${table} (agent_id, ${column}, updated_at) values ($1, $2, now())
        on conflict (agent_id) do update set ${column} = excluded.${column}, updated_at = now()`,
        [agent, JSON.stringify(value)],
      )
    },
    async event(agent: string, channel: string, event: object): Promise<void> {
      await pool.query('insert into agent_events (agent_id, channel, event) values ($1, $2, $3)', [agent, channel, JSON.stringify(event)])
    },
  }
}

/** The guide's loop: a function is called, loads the agent, steps, and saves after each step so that the next call can go on. */
export const peer: Peer = {
  name: 'JSONB document per agent (KODE guide)',
  async open(databaseUrl, fresh) {
    const pool = new pg.Pool({ connectionString: databaseUrl, max: 10 })
    if (fresh) await pool.query(schema)
    const store = createStore(pool)
    const agentRow = async (agent: string): Promise<void> => {
      await pool.query(`insert into agents (id, template_id) values ($1, 'bench') on conflict (id) do update set updated_at = now()`, [
        agent,
      ])
    }
    return {
      async fill(agent, count) {
        await agentRow(agent)
        const messages = Array.from({ length: count }, (_, at): Message => ({
          role: at % 2 === 0 ? 'user' : 'assistant',
          content: earlier(at),
        }))
        await store.save('agent_messages', 'messages', agent, messages)
      },
      async turn(agent) {
        await agentRow(agent)
        const messages = await store.load<Message>('agent_messages', 'messages', agent)
        const records = await store.load<ToolRecord>('agent_tool_records', 'records', agent)
        messages.push({ role: 'user', content: 'Hello' })
        await store.save('agent_messages', 'messages', agent, messages)
        // The model's answer with its call, kept before the tool runs.
        const call: ToolRecord = { id: `call_${messages.length}`, name: 'echo', state: 'EXECUTING', input: { value: 'x' } }
        messages.push({ role: 'assistant', content: [{ type: 'tool_use', id: call.id, name: call.name, input: call.input }] })
        records.push(call)
        await store.save('agent_messages', 'messages', agent, messages)
        await store.save('agent_tool_records', 'records', agent, records)
        await store.event(agent, 'progress', { type: 'tool:start', call })
        call.state = 'COMPLETED'
        call.result = 'x'
        messages.push({ role: 'tool', content: [{ type: 'tool_result', tool_use_id: call.id, content: call.result }] })
        await store.save('agent_messages', 'messages', agent, messages)
        await store.save('agent_tool_records', 'records', agent, records)
        await store.event(agent, 'progress', { type: 'tool:end', call })
        messages.push({ role: 'assistant', content: [{ type: 'text', text: 'done' }] })
        await store.save('agent_messages', 'messages', agent, messages)
        await store.event(agent, 'progress', { type: 'done' })
      },
      count: async (agent) => (await store.load('agent_messages', 'messages', agent)).length,
      close: () => pool.end(),
    }
  },
}
