import { createClient, type SupabaseClient } from '@supabase/supabase-js'

/** The same SELECT and INSERT over the road that Baton takes: supabase-js, HTTP, one function for each. */
export const dynamic = 'force-dynamic'

let client: SupabaseClient | undefined

function supabase(): SupabaseClient {
  client ??= createClient(process.env['FLOOR_SUPABASE_URL'] ?? '', process.env['FLOOR_SECRET_KEY'] ?? '', {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
  })
  return client
}

async function call(name: string, argument: object): Promise<{ seq: number }> {
  const { data, error } = await supabase().rpc(name, { p: argument })
  if (error !== null) throw new Error(error.message)
  return data as { seq: number }
}

export async function POST(request: Request): Promise<Response> {
  const { agent, message } = (await request.json()) as { agent: string; message: string }
  const { seq } = await call('baton_floor_select', { agent })
  await call('baton_floor_insert', { agent, seq: seq + 1, message })
  return Response.json({ agent, seq: seq + 1 })
}
