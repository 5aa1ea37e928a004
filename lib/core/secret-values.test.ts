import { expect, test } from 'vitest'
import { redactText } from '#lib/core/secret-values'
import { join } from '#tests/audit/corpus'

const alnum = 'aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC2eF4hJ6kL8nP0rS2uV4xY6zA8cD0fG2iK4m'
const token = (...start: string[]): [string, string] => [`with ${join(...start, alnum.slice(0, 44))}.`, 'with [redacted].']

/** What the corpus (tests/audit/corpus) does not tell apart: each text, and all of it that may be seen. */
test.each([
  token('pp', 'lx-'),
  ...['p', 'a', 'k', 'r'].map((kind) => token('vc', kind, '_')),
  ...['a', 'b', 'e', 'o', 'p', 'r', 's'].map((kind) => token('xo', 'x', kind, '-')),
  ...['mysql', 'mariadb', 'mongodb', 'mongodb+srv', 'redis', 'rediss', 'amqp', 'amqps'].map((kind): [string, string] => [
    // A password may hold what would end it elsewhere.
    `${kind}://app:pa/s?s@w#rd@db.example/x`,
    `${kind}://app:[redacted]@db.example/x`,
  ]),
  ['https://files.example/a?hmac=abc123&at=1', 'https://files.example/a?hmac=[redacted]&at=1'],
  ['https://hooks.slack.com/workflows/T0/B0/xyz', 'https://hooks.slack.com/workflows/[redacted]'],
  ['https://discordapp.com/api/webhooks/1/xyz', 'https://discordapp.com/api/webhooks/[redacted]'],
  ['Cookie: theme=dark; session=abc def; id=7\nAccept: x', 'Cookie: [redacted]\nAccept: x'],
  ['{ password => "hunter2" }', '{ password => "[redacted]" }'],
  ['const apiKey = `hunter2`', 'const apiKey = `[redacted]`'],
  ['authorization: token hunter2', 'authorization: [redacted]'],
  // Behind an equals sign stands a value, behind a colon perhaps a sentence.
  ['secret=hunter and more', 'secret=[redacted] and more'],
  ['the secret: patience and more', 'the secret: patience and more'],
  ['password=""', 'password=""'],
  // The shortest text that is looked at, and names behind which nothing stands.
  ['pwd=ab', 'pwd=[redacted]'],
  ['password=', 'password='],
  // What has been redacted stays, with all that stands around it.
  ['password: [redacted], and more', 'password: [redacted], and more'],
  ['token=[redacted]&at=1', 'token=[redacted]&at=1'],
  ['?token=&at=1', '?token=&at=1'],
  ['the password: ...', 'the password: ...'],
  ['wrong password:)', 'wrong password:)'],
  ['/callback?token=%5Bredacted%5D&at=1', '/callback?token=%5Bredacted%5D&at=1'],
  [join('-----BEGIN PGP PRIVATE', ' KEY BLOCK-----\nabc\n-----END PGP PRIVATE', ' KEY BLOCK----- kept'), '[redacted] kept'],
])('%s', (text, shown) => {
  expect(redactText(text)).toBe(shown)
  expect(redactText(shown)).toBe(shown)
})
