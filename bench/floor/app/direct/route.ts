import pg from 'pg'

/** The least that a durable route does: one SELECT and one INSERT over a direct connection. */
export const dynamic = 'force-dynamic'

const pool = new pg.Pool({ connectionString: process.env['FLOOR_DATABASE_URL'], max: 12 })

export async function POST(request: Request): Promise<Response> {
  const { agent, message } = (await request.json()) as { agent: string; message: string }
  const { rows } = await pool.query<{ seq: string }>({
    name: 'floor_select',
    text: 'select coalesce(max(seq), 0) as seq from public.floor_messages where agent = $1',
    values: [agent],
  })
  const seq = Number(rows[0]?.seq ?? 0) + 1
  await pool.query({
    name: 'floor_insert',
    text: 'insert into public.floor_messages (agent, seq, content) values ($1, $2, $3) on conflict do nothing',
    values: [agent, seq, JSON.stringify(message)],
  })
  return Response.json({ agent, seq })
}
