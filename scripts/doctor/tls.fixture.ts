import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { TLSSocket } from 'node:tls'

/** Of db.example.com, signed by itself: of no use but here. */
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQguc/KBnUmTP18OUZI
19Ilcv7NtiOLlY8MICvisJS+sLKhRANCAAQJTE4cjsn3mY//R4feM6xVJUN4ztcR
HD/3HSW2OtnG3X8WYu7EILJa7q9CbPQGKtkXnhf0cNFiWd4JyKXoBarV
-----END PRIVATE KEY-----
`
const cert = `-----BEGIN CERTIFICATE-----
MIIBijCCAS+gAwIBAgIUOn0znrXg7wgUiAkYa73JG1flXdgwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOZGIuZXhhbXBsZS5jb20wIBcNMjAwMTAxMDAwMDAwWhgPMjEx
OTEyMDgwMDAwMDBaMBkxFzAVBgNVBAMMDmRiLmV4YW1wbGUuY29tMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAECUxOHI7J95mP/0eH3jOsVSVDeM7XERw/9x0ltjrZ
xt1/FmLuxCCyWu6vQmz0BirZF54X9HDRYlneCcil6AWq1aNTMFEwHQYDVR0OBBYE
FMvjp5wdMdyAJpKnWFhK66SVd7t+MB8GA1UdIwQYMBaAFMvjp5wdMdyAJpKnWFhK
66SVd7t+MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAOKcw1F+
F2twdEnBS6JSCTl9f1YFxW9gTxVm82Swzh7vAiEA1lxD+pk+97sTtI+I/w/rMhgE
1jiAFBvwPmQOHWsZKjc=
-----END CERTIFICATE-----
`

/** What PostgreSQL answers to a wrong password, byte for byte. */
const wrongPassword = Buffer.from('E\0\0\0\x1aSFATAL\0C28P01\0Mwrong\0\0', 'latin1')

/** The first words of a PostgreSQL server, with TLS (then no password is right) or without; answers with its port and how to end it. */
export async function listeningPostgres(hasTls: boolean): Promise<{ port: number; close: () => void }> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined) // the client hangs up as it likes
    socket.once('data', () => {
      socket.write(hasTls ? 'S' : 'N')
      if (!hasTls) return
      const secure = new TLSSocket(socket, { isServer: true, key, cert })
      secure.on('error', () => undefined)
      secure.once('data', () => secure.end(wrongPassword))
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, close: () => void server.close() }
}
