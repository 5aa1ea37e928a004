import pg from 'pg'
import type { Peer } from '#bench/peers/peer'
import { earlier } from '#bench/peers/texts'

const schema = `create table if not exists turns (agent text, seq bigint generated always as identity, role text not null, content jsonb not null,
  at timestamptz not null default now(), primary key (agent, seq))`

const insert = { name: 'insert', text: 'insert into turns (agent, role, content) values ($1, $2, $3)' }
const open = {
  name: 'open',
  text: `with entered as (insert into turns (agent, role, content) values ($1, 'user', $2) returning seq)
    select role, content from (select seq, role, content from turns where agent = $1 order by seq desc limit 50) recent order by seq`,
}

/** The least that keeps each step: a row for each message, the last 50 read at the start, a commit for each step; no lease, no run, no events, no budget. */
export const peer: Peer = {
  name: 'floor: rows, window of 50, no guarantees',
  async open(databaseUrl, fresh) {
    const pool = new pg.Pool({ connectionString: databaseUrl, max: 10 })
    if (fresh) await pool.query(schema)
    const add = async (agent: string, role: string, content: unknown): Promise<void> =>
      void (await pool.query({ ...insert, values: [agent, role, JSON.stringify(content)] }))
    return {
      async fill(agent, messages) {
        await pool.query(
          `insert into turns (agent, role, content) select $1, case g.at % 2 when 1 then 'user' else 'assistant' end, to_jsonb(g.text)
          from unnest($2::text[]) with ordinality g (text, at)`,
          [agent, Array.from({ length: messages }, (_, at) => earlier(at))],
        )
        await pool.query('vacuum analyze turns')
      },
      async turn(agent) {
        await pool.query({ ...open, values: [agent, JSON.stringify('Hello')] })
        await add(agent, 'assistant', { call: 'echo', input: { value: 'x' } })
        await add(agent, 'tool', { result: 'x' })
        await add(agent, 'assistant', 'done')
      },
      async count(agent) {
        const { rows } = await pool.query<{ many: string }>('select count(*) as many from turns where agent = $1', [agent])
        return Number(rows[0]?.many ?? 0)
      },
      close: () => pool.end(),
    }
  },
}
