/** Words that make a name secret wherever they stand in it. */
const secretWords: ReadonlySet<string> = new Set([
  'password',
  'passwords',
  'passwd',
  'pwd',
  'passphrase',
  'passcode',
  'secret',
  'secrets',
  'authorization',
  'cookie',
  'cookies',
  'credential',
  'credentials',
  'apikey',
  'apikeys',
  'privatekey',
  'accesskey',
  'secretkey',
  'signingkey',
  'encryptionkey',
  'accesstoken',
  'refreshtoken',
  'authtoken',
  'idtoken',
  'dsn',
  'jwt',
  'cvv',
  'cvc',
  'otp',
])

/** Neighbours that make a name secret together. */
const secretPairs: ReadonlySet<string> = new Set([
  'api key',
  'api keys',
  'private key',
  'access key',
  'signing key',
  'encryption key',
  'service key',
  'admin key',
  'master key',
  'account key',
  'shared key',
  'event key',
  'service role',
  'connection string',
  'connection uri',
  'bearer token',
  'webhook signature',
  'amz signature',
  'goog signature',
])

/** A name that ends so tells about a secret and is none: token_type, secretName, api_key_id, passwordResetAt. */
const harmlessEnds: ReadonlySet<string> = new Set([
  'at',
  'budget',
  'count',
  'counts',
  'details',
  'dir',
  'expires',
  'file',
  'id',
  'ids',
  'kind',
  'length',
  'limit',
  'name',
  'names',
  'path',
  'policy',
  'prefix',
  'required',
  'status',
  'type',
  'url',
  'usage',
  'version',
])

/** Longer names are no names: whatever they are, their first characters decide. */
const mostNameLength = 200

/**
 * True for names of fields, headers and parameters under which secrets stand: password, clientSecret, x-api-key, accessToken, Set-Cookie,
 * connection_string. `token` is one where it stands last, so that counts (inputTokens, maxTokens, tokens, tokenCount) stay readable.
 */
export function isSecretKey(name: string): boolean {
  const words = wordsOf(name)
  const last = words.at(-1)
  if (last === undefined || harmlessEnds.has(last)) return false
  if (last === 'token') return true
  return words.some((word, index) => secretWords.has(word) || secretPairs.has(`${word} ${words[index + 1] ?? ''}`))
}

/** The words of a name in lower case: of snake_case, kebab-case, dotted and camelCase names, APIKey too. */
function wordsOf(name: string): string[] {
  return name
    .slice(0, mostNameLength)
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replaceAll(/([A-Z])([A-Z][a-z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '')
}

/** Names whose value is a secret even when it is an everyday word, as passwords are. */
const chosenByPeople: ReadonlySet<string> = new Set(['password', 'passwd', 'pwd', 'passphrase', 'passcode'])

/** True for names of secrets that people choose, which need not look like secrets. */
export function isPasswordKey(name: string): boolean {
  return wordsOf(name).some((word) => chosenByPeople.has(word))
}

/** True for the headers whose whole line is secret, blanks and semicolons included. */
export function isCookieKey(name: string): boolean {
  return /^(?:set-?)?cookies?$/i.test(name)
}
