import type pg from 'pg'
import { earlier } from '#bench/peers/texts'

/** Gives an agent so many messages of 1 KB in all, users' and assistants' by turns; the window then begins at the last 100, as commits would have left it. */
export async function fillHistory(pool: pg.Pool, agent: string, messages: number): Promise<void> {
  await pool.query(
    `insert into baton.messages (agent_uid, seq, tenant_id, role, content, bytes, est_tokens)
    select a.agent_uid, g, a.tenant_id, case g % 2 when 1 then 'user' else 'assistant' end, to_json(($3::text[])[g]), 1002, 335
    from baton.agents a, generate_series(a.last_message_seq + 1, $2::bigint) g where a.id = $1`,
    [agent, messages, Array.from({ length: messages }, (_, at) => earlier(at))],
  )
  await pool.query(
    `update baton.agents set last_message_seq = greatest(last_message_seq, $2::bigint), window_from = greatest(1, $2::bigint - 99),
      window_tokens = least($2::bigint, 100) * 335 where id = $1`,
    [agent, messages],
  )
  await pool.query('vacuum analyze')
}
