import { expect, test } from 'vitest'
import { isCookieKey, isPasswordKey, isSecretKey } from '#lib/core/secret-keys'

const secret = `
  passwords old_passwd PWD passphrase passcode secrets cookies credential apikeys privatekey accesskey secretkey
  signingkey encryptionkey accesstoken refreshtokenHash authtoken_old idtokenValue cvv cvc otp API_KEYS serviceKey
  admin-key masterKey account.key shared_key INNGEST_EVENT_KEY connectionUri bearerTokenValue Webhook-Signature
  X-Amz-Signature X-Goog-Signature
`
  .trim()
  .split(/\s+/)
test.each(secret)('%s is secret', (name) => expect(isSecretKey(name)).toBe(true))

const harmless = `
  tokenAt secretBudget passwordCount secretCounts passwordDetails secretDir credentialsExpires secretFile secretIds
  credentialKind passwordLength secretLimit secretNames credentialsPath passwordPolicy apiKeyPrefix passwordRequired
  credential_status secretType secretUrl passwordUsage secret_version
`
  .trim()
  .split(/\s+/)
test.each(harmless)('%s tells about a secret and is none', (name) => expect(isSecretKey(name)).toBe(false))

test('passwords are those that people choose; whole lines are secret in cookies alone', () => {
  const chosen = ['userPassword', 'PASSWD', 'db_pwd', 'passphrase', 'passcode', 'apiKey', 'clientSecret']
  expect(chosen.filter(isPasswordKey)).toEqual(chosen.slice(0, 5))
  const lines = ['Cookie', 'set-cookie', 'SetCookie', 'cookies', 'cookieName', 'authorization']
  expect(lines.filter(isCookieKey)).toEqual(lines.slice(0, 4))
})

test('what stands around a name does not hide it, and of a name that is none only the beginning counts', () => {
  const around = ['token_', '__token__', '-api-key-', '[token]', 'my.token:', 'token ']
  expect(around.filter((name) => !isSecretKey(name))).toEqual([])
  expect(['', '_', 'inputTokens_', 'token_count_'].filter(isSecretKey)).toEqual([])
  expect([isSecretKey(`${'a '.repeat(95)}password`), isSecretKey(`${'a '.repeat(100)}password`)]).toEqual([true, false])
})
