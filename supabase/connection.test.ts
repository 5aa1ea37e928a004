import pg from 'pg'
import { expect, test } from 'vitest'
import { connectionUrl } from '#supabase/connection'

/** What node-postgres makes of a URL: nothing is connected. */
function read(connectionString: string) {
  const { host, user, password, database, ssl } = new pg.Client({ connectionString })
  return { host, user, password, database, ssl }
}

const far = 'postgresql://u:p@db.example.com:5432/postgres'
const sslOf = (url: string) => read(connectionUrl(url)).ssl
const unverified = { rejectUnauthorized: false }

test('what leaves this machine is encrypted, also where the URL does not say so', () => {
  expect(sslOf(far)).toEqual(unverified)
  expect(sslOf(`${far}?sslmode=`)).toEqual(unverified)
  expect(sslOf(`${far}?application_name=x`)).toEqual(unverified)
})

test('require and prefer take the certificate of an authority that is not known, as in libpq', () => {
  expect(sslOf(`${far}?sslmode=require`)).toEqual(unverified)
  expect(sslOf(`${far}?sslmode=prefer`)).toEqual(unverified)
  expect(sslOf('postgresql://u:p@127.0.0.1/d?sslmode=require')).toEqual(unverified)
})

test.each([
  'sslmode=verify-full',
  'sslmode=verify-ca',
  'sslmode=disable',
  'sslmode=require&uselibpqcompat=false',
  'ssl=true',
  'sslmode=require&sslrootcert=ca.crt',
])('a URL that asks for more or for less stays as it is: %s', (asked) => {
  expect(connectionUrl(`${far}?${asked}`)).toBe(`${far}?${asked}`)
})

test.each([
  'postgresql://u:p@localhost/d',
  'postgresql://u:p@127.0.0.1:54322/d',
  'postgresql://u:p@[::1]/d',
  'postgresql:///d?host=/var/run/postgresql',
  'postgresql://u@%2Fvar%2Frun%2Fpostgresql/d',
  'nonsense',
])('a way that does not leave this machine is left alone: %s', (url) => {
  expect(connectionUrl(url)).toBe(url)
})

test.each(['p%40s%2Fs%3A', 'pä%w', 'a b', 'p&w=1', '%23%3F'])('the password is read as it was before: %s', (password) => {
  const url = `postgresql://u.ref:${password}@db.example.com/postgres`
  expect(read(connectionUrl(url))).toEqual({ ...read(url), ssl: unverified })
})

test('what the environment says of mode and host counts where the URL says nothing', () => {
  expect(connectionUrl(far, { PGSSLMODE: 'verify-full' })).toBe(far)
  expect(connectionUrl(`${far}?sslmode=require`, { PGSSLMODE: 'disable' })).toBe(`${far}?sslmode=require&uselibpqcompat=true`)
  expect(connectionUrl('postgresql:///d', { PGHOST: 'db.example.com' })).toContain('sslmode=require')
  expect(connectionUrl('postgresql:///d', {})).toBe('postgresql:///d')
})
