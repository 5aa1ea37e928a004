import { expect, test } from 'vitest'
import { checkWebhookAddress } from '#lib/webhooks/address'

const refused = [
  ['http://example.com/', /use https/],
  ['ftp://example.com/', /use https/],
  ['file:///etc/passwd', /use https/],
  ['/relative', /absolute/],
  ['https://user:pass@example.com/', /credentials/],
  ['https://user@example.com/', /credentials/],
  ['https://example.com:22/', /port 22/],
  ['https://example.com:0/', /port 0/],
  ['https://example.com:80/', /port 80/],
  [`https://example.com/${'x'.repeat(3_000)}`, /longer/],
  ['https://localhost/', /private network/],
  ['https://localhost./', /private network/],
  ['https://x.localhost/', /private network/],
  ['https://db/', /private network/],
  ['https://metadata.google.internal/', /private network/],
  ['https://127.0.0.1/', /not public/],
  ['https://2130706433/', /not public/],
  ['https://0x7f000001/', /not public/],
  ['https://0177.0.0.1/', /not public/],
  ['https://127.1/', /not public/],
  ['https://10.1.2.3/', /not public/],
  ['https://172.31.0.1/', /not public/],
  ['https://192.168.1.1/', /not public/],
  ['https://169.254.169.254/', /not public/],
  ['https://100.64.0.1/', /not public/],
  ['https://100.127.255.255/', /not public/],
  ['https://198.19.0.1/', /not public/],
  ['https://240.0.0.1/', /not public/],
  ['https://255.255.255.254/', /not public/],
  ['https://0.0.0.0/', /not public/],
  ['https://255.255.255.255/', /not public/],
  ['https://[::1]/', /not public/],
  ['https://[::]/', /not public/],
  ['https://[::ffff:127.0.0.1]/', /not public/],
  ['https://[::ffff:8.8.8.8]/', /not public/],
  ['https://[::127.0.0.1]/', /not public/],
  ['https://[64:ff9b::7f00:1]/', /not public/],
  ['https://[2002:7f00:1::]/', /not public/],
  ['https://[fd00::1]/', /not public/],
  ['https://[fe80::1]/', /not public/],
  ['https://[fec0::1]/', /not public/],
  ['https://[ff02::1]/', /not public/],
  ['https://[2001:db8::1]/', /not public/],
] as const

test.for(refused)('outside local mode %s is refused with advice', ([address, why]) => {
  expect(() => checkWebhookAddress(address, { local: false })).toThrow(why)
  expect(() => checkWebhookAddress(address, { local: false })).toThrow(expect.objectContaining({ code: 'webhook_refused' }))
})

test.for([
  'https://example.com/hooks?x=1',
  'https://example.com:8443/',
  'https://8.8.8.8/',
  'https://[2606:4700::1111]/',
  'https://müller.example/',
])('%s is accepted in both modes', (address) => {
  expect(checkWebhookAddress(address, { local: false }).href).toBe(new URL(address).href)
  expect(checkWebhookAddress(address, { local: true }).href).toBe(new URL(address).href)
})

test('local mode accepts http on loopback and nothing else that is private', () => {
  for (const address of ['http://localhost:3000/x', 'http://127.0.0.1:80/', 'http://[::1]:4000/', 'https://localhost/']) {
    expect(checkWebhookAddress(address, { local: true }).href).toBe(new URL(address).href)
  }
  for (const address of ['http://10.0.0.1/', 'https://10.0.0.1/', 'http://example.com/', 'https://[fd00::1]/', 'https://db/']) {
    expect(() => checkWebhookAddress(address, { local: true })).toThrow(/webhook address/)
  }
})

test('a fragment is dropped', () => {
  expect(checkWebhookAddress('https://example.com/a#b', { local: false }).href).toBe('https://example.com/a')
})
