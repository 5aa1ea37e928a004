import { isCookieKey, isPasswordKey, isSecretKey } from '#lib/core/secret-keys'

/** What stands where a secret stood. */
export const redacted = '[redacted]'

/*
 * Every pattern begins with a literal or a short fixed class, repeats single classes only and bounds what it looks ahead at, so that its work
 * grows with the length of the text and no text makes it go back and forth. A match takes everything that looks like the secret, so that the
 * search goes on behind it.
 */

/** Keys that say by their beginning whose they are. Ids of ours (run_, call_, key_, ...) are none. */
const prefixed = new RegExp(
  `(?<![A-Za-z0-9])(?:${[
    // OpenAI, Anthropic, OpenRouter and those who imitate them: a digit tells them from words such as "risk-assessment".
    String.raw`sk-(?=[A-Za-z0-9_-]{0,64}[0-9])[A-Za-z0-9_-]{16,}`,
    // Stripe: secret and restricted keys; a publishable one (pk_) is public.
    String.raw`[sr]k_(?:live|test)_[A-Za-z0-9]{8,}`,
    // Baton's own keys and the secrets of Standard Webhooks; the short prefix that key lists show stays.
    String.raw`bt_[A-Za-z0-9_-]{20,}`,
    String.raw`whsec_[A-Za-z0-9+/=_-]{12,}`,
    // Supabase, Inngest.
    String.raw`sb_secret_[A-Za-z0-9_-]{8,}`,
    String.raw`sbp_[0-9a-f]{32,}`,
    String.raw`signkey-[a-z0-9]{1,20}-[0-9a-f]{16,}`,
    // AWS key ids; their secret half has no mark of its own and is found by its name.
    String.raw`(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])`,
    // GitHub, GitLab, npm, Slack, Google, SendGrid, Hugging Face, Groq, xAI, Perplexity, Replicate, DigitalOcean, Shopify, Vercel, age.
    String.raw`gh[pousr]_[A-Za-z0-9]{20,}`,
    String.raw`github_pat_[A-Za-z0-9_]{20,}`,
    String.raw`gl(?:pat|ptt|dt|rt)-[A-Za-z0-9_-]{16,}`,
    String.raw`npm_[A-Za-z0-9]{30,}`,
    String.raw`xox[abeoprs]-[A-Za-z0-9-]{10,}`,
    String.raw`xapp-[A-Za-z0-9-]{10,}`,
    String.raw`AIza[A-Za-z0-9_-]{30,}`,
    String.raw`ya29\.[A-Za-z0-9_-]{20,}`,
    String.raw`GOCSPX-[A-Za-z0-9_-]{20,}`,
    String.raw`SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}`,
    String.raw`hf_[A-Za-z0-9]{30,}`,
    String.raw`gsk_[A-Za-z0-9]{40,}`,
    String.raw`xai-[A-Za-z0-9]{40,}`,
    String.raw`pplx-[A-Za-z0-9]{40,}`,
    String.raw`r8_[A-Za-z0-9]{30,}`,
    String.raw`do[opr]_v1_[0-9a-f]{32,}`,
    String.raw`shp(?:at|ca|pa|ss)_[0-9a-fA-F]{20,}`,
    String.raw`vc[apkr]_[A-Za-z0-9]{20,}`,
    String.raw`AGE-SECRET-KEY-1[A-Z0-9]{20,}`,
  ].join('|')})`,
  'g',
)

/** JSON Web Tokens, signed or encrypted: service_role keys, user tokens, stream tokens. */
const webToken = /(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){0,3}/g

/** A private key in PEM form, also one that was cut off before its end. */
const privateKey = /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----)){0,20000}(?:-----END [A-Z0-9 ]{0,60}-----)?/g

/** The schemes of the Authorization header; a word alone ("bearer of news", "basic authentication") is no credential. */
const scheme =
  /(?<![A-Za-z0-9])(bearer|basic)(\s{1,8})(?:(?=[A-Za-z0-9._~+/-]{0,200}[0-9=])[A-Za-z0-9._~+/-]{6,}=*|[A-Za-z0-9._~+/-]{24,}=*)/gi

/** The password in the address of a database or of anything else, and a name that is long enough to be a token. */
const databaseUser =
  /(?<=\b(?:postgres|postgresql|mysql|mariadb|mongodb|mongodb\+srv|redis|rediss|amqp|amqps):\/\/)([^\s:@"'<>]{0,200}):[^\s"'<>]{1,300}@/gi
const urlUser = /(?<=:\/\/)([^\s:@/?#"'<>]{0,200}):[^\s@/?#"'<>]{1,300}@/g
const urlToken = /(?<=:\/\/)[^\s:@/?#"'<>]{20,300}@/g

/** What is secret in an address because of the parameter it stands in, where the parameter's name alone would not say so. */
const signedUrl = /(?<=[?&](?:sig|signature|hmac)=)[^\s&#"'<>]+/gi
/** Slack and Discord put the secret of a webhook into its path. */
const webhookUrl = /(?<=\/\/(?:hooks\.slack\.com\/(?:services|workflows)|discord(?:app)?\.com\/api\/webhooks)\/)[^\s"'<>]+/g

/** A name and what separates it from its value, in headers, JSON, JSON within JSON, query strings, .env files and command lines. */
const assignment = /(?<![\w.-])(-{0,2}[A-Za-z_][\w.-]{1,63})((?:\\{0,3}["'`])?\s{0,3}(?:=>|[:=](?![=>]))\s{0,3}|(?<=--[\w.-]{1,64})\s)/g
const quoted = /(\\{0,3}["'`])((?:(?!\1)(?:\\.|[^\\\n])){0,4000})/y
const plain = /(?:(?:bearer|basic|token|digest|apikey)\s{1,4})?[^\s"'`&;<>\\]{1,4000}/iy
const wholeLine = /[^\r\n"'`]{1,4000}/y

/** What code and messages say where a value would stand. */
const noSecret = /^(?:undefined|null|true|false|none|nil|\d{1,3}|\*+|\.{3}|x{3,}|\$[\w.-]*|%s|process\.env\S*)$/i
const everydayWord = /^[A-Z]?[a-z]{1,24}$/
const aCall = /^[\w.]{1,100}\(/

/** The text with everything in it that looks like a secret replaced; text without any comes back as it is. The work is linear in its length. */
export function redactText(text: string): string {
  if (text.length < 6) return text
  const known = text
    .replace(privateKey, redacted)
    .replace(prefixed, redacted)
    .replace(webToken, redacted)
    .replace(scheme, `$1$2${redacted}`)
    .replace(databaseUser, `$1:${redacted}@`)
    .replace(urlUser, `$1:${redacted}@`)
    .replace(urlToken, `${redacted}@`)
    .replace(signedUrl, redacted)
    .replace(webhookUrl, redacted)
  return redactAssignments(known)
}

function redactAssignments(text: string): string {
  const parts: string[] = []
  let from = 0
  assignment.lastIndex = 0
  for (let match = assignment.exec(text); match !== null; match = assignment.exec(text)) {
    const [, name = '', separator = ''] = match
    const value = isSecretKey(name) || isCookieKey(name) ? secretAt(text, assignment.lastIndex, name, separator) : null
    if (value === null) continue
    parts.push(text.slice(from, value.from), redacted)
    from = value.to
    assignment.lastIndex = value.to
  }
  return parts.length === 0 ? text : parts.join('') + text.slice(from)
}

/** Where the value behind a secret name begins and ends; null where what stands there is none, or has been redacted. */
function secretAt(text: string, at: number, name: string, separator: string): { from: number; to: number } | null {
  if (text.startsWith(redacted, at) || text.startsWith('%5Bredacted%5D', at)) return null
  const inQuotes = matchAt(quoted, text, at)
  if (inQuotes !== null) {
    const [, quote = '', value = ''] = inQuotes
    if (value === '' || value === redacted) return null
    return { from: at + quote.length, to: at + quote.length + value.length }
  }
  const found = matchAt(isCookieKey(name) ? wholeLine : plain, text, at)?.[0]
  if (found === undefined) return null
  const bare = found.replace(/[.,:!?)\]}]{1,20}$/, '')
  if (bare === '' || noSecret.test(bare) || aCall.test(found)) return null
  const prose = !separator.includes('=') && everydayWord.test(bare) && !isPasswordKey(name)
  if (prose || text.startsWith(redacted, at + found.length)) return null
  return { from: at, to: at + found.length }
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(text)
}
