import { describe, expect, test } from 'vitest'
import { isSecretKey } from '#lib/core/secret-keys'
import { redactText } from '#lib/core/secret-values'

/** Each text makes a careless pattern go back over it again and again; fifteen seconds are more than twenty times what the slowest takes here. */
describe('hostile texts of 1 MB', () => {
  const size = 1_000_000
  const fill = (part: string): string => part.repeat(Math.ceil(size / part.length)).slice(0, size)
  const parts = [
    'a',
    ' ',
    '\n',
    '"',
    '\\',
    '\\"',
    '-',
    '=',
    ':',
    '@',
    '.',
    '/',
    'eyJ',
    'eyJa.',
    '.eyJa',
    'eyJaaaaaa.bbbbbb ',

    'sk-',
    'sk-a',
    ' sk-',
    '-sk-a',
    'bt_',
    'ghp_',
    'xoxb-',
    'AKIA',
    'AIza',
    'SG.',
    'SG.aaaaaaaaaaaaaaaaaaaa',
    'signkey-',
    'github_pat_',

    'Bearer ',
    'Bearer a',
    'bearer\t',
    'basic a ',
    '://',
    '://a:',
    '://a@',
    'x://a:b',
    'postgres://',
    'postgres://a:',
    'redis://:',
    '-----BEGIN PRIVATE KEY-----',
    '-----BEGIN ',
    '-----BEGIN PRIVATE KEY----- -----',
    '-----END ',
    '-----BEGIN A PRIVATE KEY-----a',

    'password',
    'password=',
    'password:',
    'password="',
    'password=\\"',
    '"password":"',
    'a=',
    'a:b=',
    'token token=',
    '--token ',
    '--a ',

    'cookie: ',
    'cookie:',
    '?sig=',
    '?token=',
    'https://hooks.slack.com/services/',
    'a.',
    'a-',
    'A1',
    'aA',
    '_',
    'password = ',
    'x=password:',
  ]

  test.each(parts)('%j', { timeout: 15_000 }, (part) => {
    expect(redactText(fill(part)).length).toBeGreaterThan(0)
    expect(isSecretKey(fill(part))).toBeTypeOf('boolean')
  })
})
