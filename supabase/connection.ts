import pg from 'pg'

/** A connection that failed over its encryption: what was the matter, and what to change in the URL. */
export class TlsRefused extends Error {
  readonly says: string
  readonly cure: string
  constructor(says: string, cure: string, cause: unknown) {
    super(`${says}. ${cure}`, { cause })
    this.says = says
    this.cure = cure
  }
}

/** Hosts whose way does not leave this machine: names and numbers of loopback, and sockets, which stand without a host or as a path. */
const onThisMachine = /^(|localhost|127(\.\d{1,3}){3}|\[?::1\]?|(\/|%2f).*)$/i

/**
 * The URL as node-postgres shall read it. What leaves this machine is encrypted unless the URL says otherwise; `require` and `prefer` mean what
 * they mean to libpq and to whoever wrote them (encrypted, whoever signed the certificate): Supabase's is signed by its own authority. A URL that
 * asks for more (`verify-full`, `sslrootcert`) or for less (`disable`) stays as it is, and so does one whose mode stands in PGSSLMODE. The text of it
 * is kept, with whatever stands in its password.
 */
export function connectionUrl(databaseUrl: string, { PGSSLMODE: mode, PGHOST: host }: Partial<NodeJS.ProcessEnv> = process.env): string {
  if (!URL.canParse(databaseUrl)) return databaseUrl // node-postgres says what is wrong with it
  const { hostname, searchParams: given } = new URL(databaseUrl)
  const asked = given.get('sslmode')
  if (given.has('ssl') || given.has('sslrootcert') || (!asked && mode)) return databaseUrl
  const added: string[] = []
  if (!asked && !onThisMachine.test(given.get('host') || hostname || host || '')) added.push('sslmode=require')
  const isLax = added.length > 0 || asked === 'require' || asked === 'prefer'
  if (isLax && !given.has('uselibpqcompat')) added.push('uselibpqcompat=true')
  if (added.length === 0) return databaseUrl
  const [address = ''] = databaseUrl.split('#', 1)
  return `${address}${address.includes('?') ? '&' : '?'}${added.join('&')}`
}

/** Connects to a database that somebody has configured. Throws {@link TlsRefused} where the two cannot agree on encryption. */
export async function connect(databaseUrl: string): Promise<pg.Client> {
  try {
    const client = new pg.Client({ connectionString: connectionUrl(databaseUrl), connectionTimeoutMillis: 10_000 })
    client.on('error', () => undefined) // a connection that breaks fails the query in hand, which reports it
    await client.connect()
    return client
  } catch (error) {
    throw tlsRefused(error) ?? error
  }
}

function tlsRefused(error: unknown): TlsRefused | undefined {
  if (!(error instanceof Error)) return undefined
  if (error.message.includes('does not support SSL'))
    return new TlsRefused(
      'The database speaks no TLS',
      'Where it is your own and the way to it is safe, add sslmode=disable to its URL.',
      error,
    )
  if (/certificate|no such file/i.test(error.message))
    return new TlsRefused(
      'The certificate of the database cannot be verified as its URL asks for',
      'Name the file of the authority that signed it, with sslmode=verify-full&sslrootcert=FILE (Supabase: Database Settings, SSL Configuration); sslmode=require encrypts and verifies nothing.',
      error,
    )
  return undefined
}
