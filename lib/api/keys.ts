import { z } from 'zod'
import { json } from '#lib/api/answers'
import { decodeCursor, encodeCursor } from '#lib/api/cursor'
import { endpoint } from '#lib/api/endpoint'
import { listing } from '#lib/api/listing'
import { idParams, page } from '#lib/api/schemas'
import { authorityOf } from '#lib/api/scope'
import { instant } from '#lib/core/instant'
import { keyScope } from '#lib/core/keys'
import { refusalError } from '#lib/engine/open'

const name = z.string().trim().min(1).max(100)
const dayMs = 86_400_000

/** POST /api/keys: 201 with the key, which is shown this once. */
export const createKey = endpoint({
  method: 'POST',
  path: '/api/keys',
  summary: 'Make an API key; it is shown this once',
  body: z.strictObject({
    name,
    scopes: z
      .array(keyScope)
      .min(1)
      .max(keyScope.options.length)
      .refine((scopes) => new Set(scopes).size === scopes.length, 'has a right twice'),
    expiresAt: instant.nullable().optional(),
  }),
  async handler({ services, body, caller }) {
    const { text, stored } = services.makeKey(services.ids.make('key'))
    const request = { ...stored, name: services.redact(body.name), scopes: body.scopes, expiresAt: body.expiresAt ?? null }
    const authority = authorityOf(services, caller)
    let answer = await services.store.createKey(authority, request)
    if (!answer.ok && answer.code === 'tenant_missing' && (await services.ensureTenant(String(answer['tenant']))))
      answer = await services.store.createKey(authority, request)
    if (!answer.ok) throw refusalError(answer)
    return json(201, { ...answer.key, key: text }, { location: `/api/keys/${answer.key.id}` })
  },
})

/** GET /api/keys: the keys of the caller's tenant, revoked ones too, oldest first. */
export const listKeys = endpoint({
  method: 'GET',
  path: '/api/keys',
  summary: 'List API keys',
  query: z.object(page),
  async handler({ services, query, caller }) {
    const { limit, cursor } = query
    const after = cursor === undefined ? null : decodeCursor('keys', cursor)
    const data = await services.store.listKeys(authorityOf(services, caller), { limit, after })
    const shown = listing(data, limit, ({ id }) => encodeCursor('keys', id))
    return json(200, shown)
  },
})

/** GET /api/keys/{id} */
export const getKey = endpoint({
  method: 'GET',
  path: '/api/keys/{id}',
  summary: 'Read an API key, without the key itself',
  params: idParams,
  async handler({ services, params, caller }) {
    const answer = await services.store.getKey(authorityOf(services, caller), params.id)
    if (!answer.ok) throw refusalError(answer)
    return json(200, answer.key)
  },
})

/** PATCH /api/keys/{id}: name and expiry; other rights are another key. */
export const patchKey = endpoint({
  method: 'PATCH',
  path: '/api/keys/{id}',
  summary: 'Change the name or expiry of an API key',
  params: idParams,
  body: z.strictObject({ name: name.exactOptional(), expiresAt: instant.nullable().exactOptional() }),
  async handler({ services, params, body, caller }) {
    const answer = await services.store.patchKey(authorityOf(services, caller), params.id, {
      ...body,
      ...(body.name === undefined ? {} : { name: services.redact(body.name) }),
    })
    if (!answer.ok) throw refusalError(answer)
    return json(200, answer.key)
  },
})

/** DELETE /api/keys/{id}: the next request with the key is refused, in every process. */
export const revokeKey = endpoint({
  method: 'DELETE',
  path: '/api/keys/{id}',
  summary: 'Revoke an API key at once',
  params: idParams,
  async handler({ services, params, caller }) {
    const answer = await services.store.revokeKey(authorityOf(services, caller), params.id)
    if (!answer.ok) throw refusalError(answer)
    return new Response(null, { status: 204 })
  },
})

/** POST /api/keys/{id}/rotate: a new key of the same rights; the old one goes on for the overlap, a day unless said otherwise. */
export const rotateKey = endpoint({
  method: 'POST',
  path: '/api/keys/{id}/rotate',
  summary: 'Make a successor of an API key; both are active for the overlap',
  params: idParams,
  body: z
    .strictObject({
      overlapMs: z
        .int()
        .nonnegative()
        .max(30 * dayMs)
        .default(dayMs),
    })
    .optional(),
  async handler({ services, params, body, caller }) {
    const { text, stored } = services.makeKey(services.ids.make('key'))
    const made = { ...stored, overlapMs: body?.overlapMs ?? dayMs }
    const answer = await services.store.rotateKey(authorityOf(services, caller), params.id, made)
    if (!answer.ok) throw refusalError(answer)
    return json(201, { ...answer.key, key: text, old: answer.old }, { location: `/api/keys/${answer.key.id}` })
  },
})
